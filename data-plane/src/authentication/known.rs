//! What `saas_platform` says of a key, as plain data, and what follows from it at the moment of a request.

use std::sync::Arc;

use jiff::Timestamp;
use rowhouse_database::{ActivePlacement, Columns, Placement};
use rowhouse_domain::{
    AccountId, GroupId, KeyId, OrganizationId, OrganizationStatus, RateLimit, Scope, Scopes, TenantId, TenantStatus,
    Tier,
};
use rowhouse_keys::{ApiKeyHash, Pepper, PlainApiKey};
use rowhouse_problem::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use uuid::Uuid;

use super::SERVED_SCHEMAS;
use crate::placements;
use crate::rate_limits::Allowance;

/// One row of the look-up but for the placement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) key: KeyId,
    pub(super) prefix: String,
    pub(super) account: Option<AccountId>,
    pub(super) hash: [u8; 32],
    pub(super) pepper_version: i32,
    pub(super) scopes: Vec<Scope>,
    pub(super) is_revoked: bool,
    pub(super) expires_at: Option<Timestamp>,
    /// Instead of the tier's; so for the tenant.
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) tenant: TenantId,
    pub(super) tenant_status: TenantStatus,
    pub(super) tenant_rate_limit: Option<RateLimit>,
    pub(super) schema_version: i32,
    pub(super) group: Option<GroupId>,
    pub(super) organization: OrganizationId,
    pub(super) tier: Tier,
    pub(super) organization_status: OrganizationStatus,
    pub(super) organization_is_deleted: bool,
}

/// A key, its tenant, its organization and the way to its data, as they were when they were read.
pub(super) struct Known {
    pub(super) facts: Facts,
    pub(super) scopes: Scopes,
    /// There where the tenant was active.
    pub(super) placement: Option<ActivePlacement>,
    hash: ApiKeyHash,
    pepper: Arc<Pepper>,
}

impl Facts {
    /// Reads the columns of the look-up.
    pub(super) fn from_row(row: &Row) -> Result<Self> {
        let hash: Vec<u8> = row.column("key_hash")?;
        let scopes: Vec<String> = row.column("scopes")?;
        Ok(Self {
            key: row.column("id")?,
            prefix: row.column("key_prefix")?,
            account: row.column("account_id")?,
            hash: hash.try_into().map_err(|_| Error::internal("a stored key hash has another length"))?,
            pepper_version: row.column("pepper_version")?,
            // A scope that this release does not know grants nothing.
            scopes: scopes.iter().filter_map(|text| text.parse().ok()).collect(),
            is_revoked: row.column("is_revoked")?,
            expires_at: row.column("expires_at")?,
            rate_limit: rate_limit(row, "key_rate_per_second", "key_rate_burst")?,
            tenant: row.column("tenant_id")?,
            tenant_status: row.column("status")?,
            tenant_rate_limit: rate_limit(row, "rate_per_second", "rate_burst")?,
            schema_version: row.column("schema_version")?,
            group: row.column("group_id")?,
            organization: row.column("organization_id")?,
            tier: row.column("subscription_tier")?,
            organization_status: row.column("organization_status")?,
            organization_is_deleted: row.column("organization_is_deleted")?,
        })
    }

    /// The placement of the same row, where there is one to be served from.
    pub(super) fn placement_in(&self, row: &Row) -> Result<Option<Arc<Placement>>> {
        match self.tenant_status {
            TenantStatus::Active => placements::from_row(row).map(|placement| Some(Arc::new(placement))),
            TenantStatus::Provisioning
            | TenantStatus::Inactive
            | TenantStatus::Suspended
            | TenantStatus::Deleted
            | TenantStatus::Purged
            | TenantStatus::Failed => Ok(None),
        }
    }
}

impl Known {
    /// Puts together what was read; `pepper` is that of the version that the key was hashed under.
    pub(super) fn new(facts: Facts, placement: Option<Arc<Placement>>, pepper: Arc<Pepper>) -> Result<Self> {
        Ok(Self {
            scopes: facts.scopes.iter().copied().collect(),
            placement: placement.map(ActivePlacement::vouch),
            hash: ApiKeyHash::from_bytes(&facts.hash).ok_or_else(|| Error::internal("a hash of 32 bytes"))?,
            pepper,
            facts,
        })
    }

    /// What the key and its tenant may ask.
    pub(super) fn allowance(&self) -> Allowance {
        let Facts { tier, rate_limit, tenant_rate_limit, .. } = self.facts;
        Allowance { tier, key: rate_limit, tenant: tenant_rate_limit }
    }

    /// Whom a notice may be about that changes something of this: tenant, organization, cluster, shared database.
    pub(super) fn concerned(&self) -> [Option<Uuid>; 4] {
        [
            Some(self.facts.tenant.as_uuid()),
            Some(self.facts.organization.as_uuid()),
            self.placement.as_ref().map(|placement| placement.get().server.cluster.as_uuid()),
            self.facts.group.map(|group| group.as_uuid()),
        ]
    }

    /// Whether this is the key that was read.
    pub(super) fn is(&self, key: &PlainApiKey) -> bool {
        key.matches(&self.pepper, &self.hash)
    }

    /// Whether any key of the tenant may open anything.
    pub(super) fn tenant_is_served(&self) -> bool {
        self.placement.is_some()
            && self.facts.organization_status == OrganizationStatus::Active
            && !self.facts.organization_is_deleted
    }

    /// Whether the key opens anything now, and where its tenant is. Asked at each request: time passes without a notice.
    pub(super) fn decide(&self) -> Result<ActivePlacement> {
        let facts = &self.facts;
        if facts.is_revoked {
            return Err(Error::new(Code::RevokedKey, "The key was revoked. Ask your organization for another."));
        }
        if facts.expires_at.is_some_and(|end| end <= Timestamp::now()) {
            return Err(Error::new(Code::ExpiredKey, "The key's time is over. Ask your organization for another."));
        }
        // Who is gone has no keys: an old one is told nothing, not even that there was a tenant.
        if facts.organization_is_deleted || matches!(facts.tenant_status, TenantStatus::Deleted | TenantStatus::Purged)
        {
            return Err(unknown_key());
        }
        if facts.organization_status != OrganizationStatus::Active {
            let detail = format!(
                "The organization is {}. Its tenants are served again when it is active.",
                facts.organization_status
            );
            return Err(Error::new(Code::OrganizationSuspended, detail));
        }
        match facts.tenant_status {
            TenantStatus::Active => self.placement_now(),
            TenantStatus::Inactive | TenantStatus::Suspended => {
                Err(Error::new(Code::TenantSuspended, format!("The tenant is {}.", facts.tenant_status)))
            }
            TenantStatus::Provisioning | TenantStatus::Failed => {
                Err(Error::new(Code::TenantNotReady, "The tenant is still being set up. Try again in a moment."))
            }
            TenantStatus::Deleted | TenantStatus::Purged => Err(unknown_key()),
        }
    }

    fn placement_now(&self) -> Result<ActivePlacement> {
        let version = self.facts.schema_version;
        if !SERVED_SCHEMAS.contains(&version) {
            let (oldest, newest) = (SERVED_SCHEMAS.start(), SERVED_SCHEMAS.end());
            let detail = format!(
                "The tenant is at migration {version}; this release serves {oldest} to {newest}. It is being migrated, or \
                 this release is being replaced."
            );
            return Err(Error::new(Code::SchemaNotServed, detail).with("schema_version", version));
        }
        self.placement.clone().ok_or_else(|| Error::internal("an active tenant has a placement"))
    }
}

/// What two columns say, which are null together.
fn rate_limit(row: &Row, per_second: &str, burst: &str) -> Result<Option<RateLimit>> {
    let parts: (Option<i32>, Option<i32>) = (row.column(per_second)?, row.column(burst)?);
    let (Some(per_second), Some(burst)) = parts else { return Ok(None) };
    let part = |part: i32| u32::try_from(part).map_err(Error::internal);
    Ok(Some(RateLimit { per_second: part(per_second)?, burst: part(burst)? }))
}

/// A key that nobody has, or nobody has any more.
pub(super) fn unknown_key() -> Error {
    Error::new(
        Code::UnknownKey,
        "No such key is known. Check that it was copied whole and belongs to this installation.",
    )
}
