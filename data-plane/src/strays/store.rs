//! Whose objects are looked through, and what of `upload_intents` is about those that nothing else names.

use std::time::Duration;

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::TenantId;
use rowhouse_problem::Result;

const CLAIM: &str = "select tenant_id from object_walks_claim(make_interval(secs => $1), $2)";

/// Tenants whose objects nobody has looked through for so long. They are the caller's for as long.
pub(super) async fn claim(platform: &impl Sql, every: Duration, limit: i32) -> Result<Vec<TenantId>> {
    let claimed = platform.query(CLAIM, &[&every.as_secs_f64(), &limit]).await;
    claimed.context("claiming tenants whose objects are due")?.iter().map(|row| row.column("tenant_id")).collect()
}

const PUT_OFF: &str = "select object_walks_put_off($1, make_interval(secs => $2))";

/// Makes a tenant due again after a pause.
pub(super) async fn put_off(platform: &impl Sql, tenant: TenantId, pause: Duration) -> Result<()> {
    platform.query_one(PUT_OFF, &[&tenant, &pause.as_secs_f64()]).await.context("putting a look off").map(drop)
}

// An intent that names it already stands in the way.
const NOTE: &str = "
    insert into upload_intents (bucket, object_key, state, expires_at)
    select $1, object.key, 'stray', now() from unnest($2::text[]) object (key)
    where not exists (select from blobs where tenant_id = app_tenant_id() and object_key = object.key)
        and not exists (select from upload_parts where tenant_id = app_tenant_id() and object_key = object.key)
    on conflict (tenant_id, object_key) do nothing";

/// Notes those of the objects that no row names, and says how many are new.
pub(super) async fn note(tenant: &impl Sql, bucket: &str, objects: &[String]) -> Result<u64> {
    tenant.execute(NOTE, &[&bucket, &objects]).await.context("noting objects that no row names")
}

const FORGET_FOUND: &str = "
    delete from upload_intents intent where tenant_id = app_tenant_id() and state = 'stray'
        and (exists (select from blobs where tenant_id = app_tenant_id() and object_key = intent.object_key)
            or exists (select from upload_parts where tenant_id = app_tenant_id() and object_key = intent.object_key))";

/// Forgets those whose rows came back, as out of a backup.
pub(super) async fn forget_found(tenant: &impl Sql) -> Result<()> {
    tenant.execute(FORGET_FOUND, &[]).await.context("forgetting objects whose rows came back").map(drop)
}
