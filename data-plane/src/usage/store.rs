//! Figures of the platform table `tenants`. Owns its SQL; decides nothing.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::TenantId;
use rowhouse_problem::Result;

use super::views::UsageView;

const FIND: &str = "
    select coalesce(tenant.storage_quota, organization.storage_quota) as storage_quota, tenant.used_storage,
        tenant.reserved_storage
    from tenants tenant join organizations organization on organization.id = tenant.organization_id
    where tenant.id = $1";

/// What the tenant uses.
pub(super) async fn find(platform: &impl Sql, tenant: TenantId) -> Result<UsageView> {
    let row = platform.query_one(FIND, &[&tenant]).await.context("reading a tenant's usage")?;
    Ok(UsageView {
        storage_quota: row.column("storage_quota")?,
        used_storage: row.column("used_storage")?,
        reserved_storage: row.column("reserved_storage")?,
    })
}
