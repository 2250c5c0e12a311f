//! Figures of usage.

use jiff::Timestamp;
use rowhouse_domain::{OrganizationId, TenantId};
use rowhouse_web::UsageBucket;
use serde::Serialize;
use utoipa::ToSchema;

/// What an organization stores now, and what it used in a period.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrganizationUsage {
    /// Whose usage it is.
    #[schema(value_type = String)]
    pub(super) organization_id: OrganizationId,
    /// Where the period begins.
    pub(super) since: Timestamp,
    /// Where it ends; this moment is not in it.
    pub(super) until: Timestamp,
    /// Bytes that all its tenants together may store.
    pub(super) storage_quota: i64,
    /// Bytes that they store.
    pub(super) used_storage: i64,
    /// Bytes set aside for uploads that are running and, in blocks, for those to come.
    pub(super) reserved_storage: i64,
    /// Sums of the events of the period, by what was counted.
    pub(super) totals: Vec<UsageTotal>,
    /// The events of the period, step by step, where `bucket` asks for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) buckets: Option<Vec<UsageBucket>>,
    /// The tenants' shares of the storage, largest first, at most 100.
    pub(super) tenants: Vec<TenantStorage>,
}

/// The sum of one kind of events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageTotal {
    /// What was counted, `storage` for one.
    pub(super) event_type: String,
    /// In which unit, `bytes` for one.
    pub(super) unit: String,
    /// The sum; of `storage`, what came minus what went.
    pub(super) quantity: i64,
    /// How many events there were.
    pub(super) events: i64,
}

/// One tenant's share.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantStorage {
    /// The tenant.
    #[schema(value_type = String)]
    pub(super) tenant_id: TenantId,
    /// Its name.
    pub(super) name: String,
    /// Bytes that it may store; none where the organization's quota alone holds.
    pub(super) storage_quota: Option<i64>,
    /// Bytes that it stores.
    pub(super) used_storage: i64,
}
