//! Usage as the API shows it.

use rowhouse_web::UsageBucket;
use serde::Serialize;
use utoipa::ToSchema;

/// Bytes that the tenant uses. Other tenants of its organization may use up the organization's quota before this one's.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageView {
    /// Most bytes: the tenant's own quota, or the organization's where that is all there is.
    pub(super) storage_quota: i64,
    /// Bytes of all versions of all files, a few moments behind.
    pub(super) used_storage: i64,
    /// Bytes set aside for uploads under way and, in blocks, for those to come.
    pub(super) reserved_storage: i64,
    /// What was used over time, where `bucket` or a period is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) buckets: Option<Vec<UsageBucket>>,
}
