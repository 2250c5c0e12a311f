//! Figures of the platform table `tenants`. Owns its SQL; decides nothing.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::TenantId;
use rowhouse_problem::Result;
use rowhouse_web::UsageBucket;
use uuid::Uuid;

use super::model::Period;
use super::record::Event;
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
        buckets: None,
    })
}

const BUCKETS: &str = "select begins, event_type, unit, quantity, events from usage_buckets($1, $2, $3, $4)";

/// What the tenant used in a period, step by step.
pub(super) async fn buckets(platform: &impl Sql, tenant: TenantId, period: &Period) -> Result<Vec<UsageBucket>> {
    let rows = platform
        .query(BUCKETS, &[&tenant, &period.since, &period.until, &period.step.as_str()])
        .await
        .context("summing a tenant's usage")?;
    rows.iter()
        .map(|row| {
            Ok(UsageBucket {
                begins: row.column::<jiff::Timestamp>("begins")?.into(),
                event_type: row.column("event_type")?,
                unit: row.column("unit")?,
                quantity: row.column("quantity")?,
                events: row.column("events")?,
            })
        })
        .collect()
}

// A tenant that was purged meanwhile has no usage any more, and must not hold up the others'.
const RECORD: &str = "
    select count(usage_record_all(own.tenant, own.ids, own.times, own.event_types, own.quantities, own.units)) as recorded
    from (
        select event.tenant, array_agg(event.id) as ids, array_agg(event.at) as times, array_agg(event.event_type) as event_types,
            array_agg(event.quantity) as quantities, array_agg(event.unit) as units
        from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::bigint[], $6::text[])
            event (id, tenant, at, event_type, quantity, unit)
        join tenants on tenants.id = event.tenant
        group by event.tenant
    ) own";

/// Records events, each once however often it is sent.
pub(super) async fn record(platform: &impl Sql, events: &[Event]) -> Result<()> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let tenants: Vec<TenantId> = events.iter().map(|event| event.tenant).collect();
    let times: Vec<jiff::Timestamp> = events.iter().map(|event| event.at).collect();
    let types: Vec<&str> = events.iter().map(|event| event.event_type).collect();
    let quantities: Vec<i64> = events.iter().map(|event| event.quantity).collect();
    let units: Vec<&str> = events.iter().map(|event| event.unit).collect();
    platform
        .query_one(RECORD, &[&ids, &tenants, &times, &types, &quantities, &units])
        .await
        .context("recording usage of the API")?;
    Ok(())
}
