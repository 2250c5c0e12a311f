//! Platform table `org_usage_logs`, read only. Owns its SQL; decides nothing.

use jiff::Timestamp;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::OrganizationId;
use rowhouse_problem::Result;
use rowhouse_web::{Step, UsageBucket};

use super::model::{TenantStorage, UsageTotal};

const TOTALS: &str = "
    select event_type, unit, sum(quantity)::bigint as quantity, count(*) as events
    from org_usage_logs
    where organization_id = $1 and timestamp >= $2 and timestamp < $3
    group by event_type, unit order by event_type, unit";

/// Sums of an organization's events in a period.
pub(super) async fn totals(
    db: &impl Sql,
    organization: OrganizationId,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<UsageTotal>> {
    let rows = db.query(TOTALS, &[&organization, &since, &until]).await.context("summing usage")?;
    rows.iter()
        .map(|row| {
            Ok(UsageTotal {
                event_type: row.column("event_type")?,
                unit: row.column("unit")?,
                quantity: row.column("quantity")?,
                events: row.column("events")?,
            })
        })
        .collect()
}

const TENANTS: &str = "
    select id, name, storage_quota, used_storage from tenants
    where organization_id = $1 and status <> 'purged'
    order by used_storage desc, id limit 100";

/// The tenants that store most.
pub(super) async fn tenants(db: &impl Sql, organization: OrganizationId) -> Result<Vec<TenantStorage>> {
    let rows = db.query(TENANTS, &[&organization]).await.context("reading the tenants' storage")?;
    rows.iter()
        .map(|row| {
            Ok(TenantStorage {
                tenant_id: row.column("id")?,
                name: row.column("name")?,
                storage_quota: row.column("storage_quota")?,
                used_storage: row.column("used_storage")?,
            })
        })
        .collect()
}

const BUCKETS: &str = "
    select date_trunc($4, timestamp, 'UTC') as begins, event_type, unit, sum(quantity)::bigint as quantity, count(*) as events
    from org_usage_logs
    where organization_id = $1 and timestamp >= $2 and timestamp < $3
    group by 1, 2, 3 order by 1, 2, 3";

/// An organization's events in a period, step by step.
pub(super) async fn buckets(
    db: &impl Sql,
    organization: OrganizationId,
    since: Timestamp,
    until: Timestamp,
    step: Step,
) -> Result<Vec<UsageBucket>> {
    let rows =
        db.query(BUCKETS, &[&organization, &since, &until, &step.as_str()]).await.context("summing usage by steps")?;
    rows.iter()
        .map(|row| {
            Ok(UsageBucket {
                begins: row.column::<Timestamp>("begins")?.into(),
                event_type: row.column("event_type")?,
                unit: row.column("unit")?,
                quantity: row.column("quantity")?,
                events: row.column("events")?,
            })
        })
        .collect()
}
