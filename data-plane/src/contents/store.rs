//! Tenant table `content_keys`. Owns its SQL; decides nothing.

use std::time::Duration;

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::ContentKeyId;
use rowhouse_problem::Result;
use uuid::Uuid;

use super::keys::SealedKey;

const LAST: &str = "
    select id as content_key_id, sealed as sealed_content_key from (
        select id, sealed, created_at from content_keys order by number desc limit 1) last
    where created_at > now() - make_interval(secs => $1)";

/// The last key, if it is younger than `age`.
pub(super) async fn last(tenant: &impl Sql, age: Duration) -> Result<Option<SealedKey>> {
    let row = tenant.query_opt(LAST, &[&age.as_secs_f64()]).await.context("reading a content key")?;
    Ok(row.as_ref().map(SealedKey::from_row).transpose()?.flatten())
}

const NEWEST: &str = "select id from content_keys order by number desc limit 1";

/// The last key, whatever its age; there is one.
pub(super) async fn newest(tenant: &impl Sql) -> Result<ContentKeyId> {
    tenant.query_one(NEWEST, &[]).await.context("looking for the newest content key")?.column("id")
}

const INSERT: &str = "
    insert into content_keys (id, number, sealed)
    values ($1, (select coalesce(max(number), 0) + 1 from content_keys), $2) on conflict (tenant_id, number) do nothing";

/// Adds a key behind the others, unless somebody else just did.
pub(super) async fn insert(tenant: &impl Sql, id: Uuid, sealed: &[u8]) -> Result<()> {
    tenant.execute(INSERT, &[&id, &sealed]).await.context("inserting a content key").map(drop)
}
