//! What of `upload_intents` is about objects that nothing else names.

use rowhouse_database::{Described, Sql};
use rowhouse_problem::Result;

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
