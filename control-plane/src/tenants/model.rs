//! What a tenant is.

use jiff::Timestamp;
use rowhouse_domain::{ActorKind, ClusterId, GroupId, Isolation, OrganizationId, TenantId, TenantStatus, TenantType};
use rowhouse_problem::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::rate_limits::RateLimitView;

/// A customer's customer: the owner of one isolated store.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Tenant {
    /// The tenant's id.
    #[schema(value_type = String, example = "ten_01jz3x5v8qf6k9m2n4p7r0s1t3")]
    pub(crate) id: TenantId,
    /// Whose tenant it is.
    #[schema(value_type = String)]
    pub(crate) organization_id: OrganizationId,
    /// Its name, unique in the organization. Changing it changes no database's name.
    #[schema(example = "acme-prod")]
    pub(crate) name: String,
    /// The organization's own id for it, unique there.
    pub(crate) external_id: Option<String>,
    /// `enterprise`, `standard`, `trial` or `demo`.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "standard")]
    pub(crate) kind: TenantType,
    /// `provisioning`, `active`, `inactive`, `suspended`, `deleted`, `purged` or `failed`.
    #[schema(value_type = String, example = "active")]
    pub(crate) status: TenantStatus,
    /// Whether it serves.
    pub(crate) is_active: bool,
    /// Why it is not active.
    pub(crate) status_reason: Option<String>,
    /// Who suspended it: `platform_key` or `organization_key`. Kept while it is deleted.
    #[schema(value_type = Option<String>)]
    pub(crate) suspended_by_kind: Option<ActorKind>,
    /// `dedicated`: a database of its own; `schema`: a schema of its own; `shared`: rows among others'.
    #[schema(value_type = String, example = "dedicated")]
    pub(crate) isolation: Isolation,
    /// Where its database is.
    #[schema(value_type = Option<String>)]
    pub(crate) cluster_id: Option<ClusterId>,
    /// The version of its schema.
    pub(crate) schema_version: i32,
    /// Bytes that it may store; none where the organization's quota alone holds.
    pub(crate) storage_quota: Option<i64>,
    /// Bytes that it stores.
    pub(crate) used_storage: i64,
    /// Bytes set aside for uploads that are running and, in blocks, for those to come.
    pub(crate) reserved_storage: i64,
    /// Workspaces that it has.
    pub(crate) used_workspaces: i32,
    /// How often it may call the data plane, where that is not as its organization's tier has it.
    pub(crate) rate_limit: Option<RateLimitView>,
    /// The host name that it is reached by.
    pub(crate) custom_domain: Option<String>,
    /// The group at the identity provider that belongs to it.
    pub(crate) identity_group: Option<String>,
    /// Settings of the application.
    #[schema(value_type = Object)]
    pub(crate) settings: Value,
    /// Whatever the organization wants to remember.
    #[schema(value_type = Object)]
    pub(crate) metadata: Value,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// When it was last changed; its entity tag follows this.
    pub(crate) updated_at: Timestamp,
    /// When it was deleted.
    pub(crate) deleted_at: Option<Timestamp>,
    /// When its data goes for good.
    pub(crate) purge_after: Option<Timestamp>,
    /// Where a restore leads back to; nobody else's business.
    #[serde(skip)]
    pub(super) status_before_delete: Option<TenantStatus>,
    /// Who deleted it, and so may restore it.
    #[serde(skip)]
    pub(super) deleted_by_kind: Option<ActorKind>,
    /// Whether parts of it may be gone.
    #[serde(skip)]
    pub(super) is_being_purged: bool,
    /// Its names in PostgreSQL, once they are chosen.
    #[serde(skip)]
    pub(crate) place: Option<Place>,
}

/// A tenant's names in PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) cluster: ClusterId,
    /// The database that it shares with others, where it does.
    pub(crate) group: Option<GroupId>,
    pub(crate) database: String,
    pub(crate) schema: String,
    pub(crate) role: String,
    pub(crate) generation: i64,
    pub(crate) credential_version: i32,
}

impl Tenant {
    /// Refuses what is of no use to a tenant that is deleted or purged.
    pub(crate) fn require_alive(&self) -> Result<()> {
        match self.status {
            TenantStatus::Deleted | TenantStatus::Purged => {
                let detail = format!("Tenant {} is deleted. Restore it first.", self.id);
                Err(Error::new(Code::InvalidTransition, detail))
            }
            TenantStatus::Provisioning
            | TenantStatus::Active
            | TenantStatus::Inactive
            | TenantStatus::Suspended
            | TenantStatus::Failed => Ok(()),
        }
    }

    /// Whether only its tombstone is left.
    pub(crate) fn is_purged(&self) -> bool {
        self.status == TenantStatus::Purged
    }
}
