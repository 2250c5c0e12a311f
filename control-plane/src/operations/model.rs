//! What an operation is.

use jiff::Timestamp;
use rowhouse_domain::{ActorKind, OperationId, OrganizationId, TenantId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// What the reconciler knows to do, and in which steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Make a tenant's role and database.
    TenantProvision,
    /// Let a tenant's login in, or keep it out, as its status says.
    TenantLogin,
    /// Remove everything of a deleted tenant but its tombstone.
    TenantPurge,
    /// Compare what is recorded with what is there.
    Doctor,
}

impl Kind {
    /// Every kind that this release knows.
    pub(super) const ALL: [Self; 4] = [Self::TenantProvision, Self::TenantLogin, Self::TenantPurge, Self::Doctor];

    /// As the column has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::TenantProvision => "tenant_provision",
            Self::TenantLogin => "tenant_login",
            Self::TenantPurge => "tenant_purge",
            Self::Doctor => "doctor",
        }
    }

    /// The kind that a column names; none where a later release wrote it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The steps, in their order.
    pub(crate) const fn steps(self) -> &'static [&'static str] {
        match self {
            Self::TenantProvision => &["reserve", "role", "database", "pin", "migrate", "verify", "activate"],
            Self::TenantLogin => &["login", "sessions"],
            Self::TenantPurge => &["close", "rights", "data", "role", "objects", "tombstone"],
            Self::Doctor => &["examine"],
        }
    }
}

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OperationState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl OperationState {
    const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// As the column has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether nothing more will happen.
    pub(crate) const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// A piece of long work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Operation {
    /// The operation's id.
    #[schema(value_type = String, example = "op_01jz3x5v8qf6k9m2n4p7r0s1t3")]
    pub(crate) id: OperationId,
    /// `tenant_provision`, `tenant_login`, `tenant_purge` or `doctor`.
    pub(crate) kind: String,
    /// `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    #[schema(value_type = String)]
    pub(crate) state: OperationState,
    /// The organization that it concerns.
    #[schema(value_type = Option<String>)]
    pub(crate) organization_id: Option<OrganizationId>,
    /// The tenant that it concerns.
    #[schema(value_type = Option<String>)]
    pub(crate) tenant_id: Option<TenantId>,
    /// Who asked for it: `platform_key`, `organization_key` or `system`.
    #[schema(value_type = String)]
    pub(crate) requested_by_kind: ActorKind,
    /// The id of who asked for it.
    pub(crate) requested_by: Option<Uuid>,
    /// The request that asked for it.
    pub(crate) request_id: Option<String>,
    /// How often it was begun.
    pub(crate) attempts: i32,
    /// What went wrong last, as a code of the catalogue of problems.
    pub(crate) error_code: Option<String>,
    /// What went wrong last.
    pub(crate) error: Option<String>,
    /// What came of it; an empty object, unless the kind has more to say than its state.
    #[schema(value_type = Object)]
    pub(crate) result: Value,
    /// Its steps in their order.
    pub(crate) steps: Vec<OperationStep>,
    /// When it was wished for.
    pub(crate) created_at: Timestamp,
    /// When it was first begun.
    pub(crate) started_at: Option<Timestamp>,
    /// When it ended.
    pub(crate) finished_at: Option<Timestamp>,
    /// When its record last changed.
    pub(crate) updated_at: Timestamp,
}

/// A step of an operation; each may run more than once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationStep {
    /// What it does.
    pub(crate) name: String,
    /// `pending`, `running`, `done`, `failed`, `skipped` or `undone`.
    pub(crate) state: String,
    /// How often it was begun.
    pub(crate) attempts: i32,
    /// What went wrong last.
    pub(crate) error: Option<String>,
    /// When it was first begun.
    pub(crate) started_at: Option<Timestamp>,
    /// When it was done.
    pub(crate) finished_at: Option<Timestamp>,
}
