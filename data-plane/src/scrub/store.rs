//! What of `blobs` is about reading contents again.

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::BlobId;
use rowhouse_problem::Result;

use super::verdict::Damage;
use crate::contents::Object;

/// A content that is to be read again.
pub(super) struct Due {
    id: BlobId,
    pub(super) sha256: Vec<u8>,
    pub(super) object: Object,
}

const NOW: &str = "select now() as now";

/// The moment, by the clock that `verified_at` is of.
pub(super) async fn now(tenant: &impl Sql) -> Result<Timestamp> {
    tenant.query_one(NOW, &[]).await.context("asking for the time")?.column("now")
}

// A few at a time, of each kind by its own index. Whoever dies over them leaves them to the next; one that takes longer is read
// twice, which harms nobody.
const CLAIM: &str = "
    with old as (
        select id from blobs
        where tenant_id = app_tenant_id() and state = 'ready' and verified_at < $1
            and (verifying_until is null or verifying_until < now())
        order by verified_at limit 4 for update skip locked
    ), damaged as (
        select id from blobs
        where tenant_id = app_tenant_id() and state = 'ready' and damage is not null and verified_at < $2
            and (verifying_until is null or verifying_until < now())
        order by id limit 4 for update skip locked
    ), claimed as (
        update blobs set verifying_until = now() + interval '1 hour'
        where tenant_id = app_tenant_id() and id in (select id from old union select id from damaged)
        returning id, sha256, size, object_key, content_key_id
    )
    select claimed.id, claimed.sha256, claimed.size, claimed.object_key, claimed.content_key_id,
        content_key.sealed as sealed_content_key
    from claimed left join content_keys content_key
        on content_key.tenant_id = app_tenant_id() and content_key.id = claimed.content_key_id";

/// Takes on contents that nobody has read since `since`, those longest ago first, and damaged ones that nobody has read since
/// the walk `began`: they may have been brought back.
pub(super) async fn claim(tenant: &impl Sql, since: Timestamp, began: Timestamp) -> Result<Vec<Due>> {
    let rows = tenant.query(CLAIM, &[&since, &began]).await.context("claiming contents to read again")?;
    rows.iter()
        .map(|row| Ok(Due { id: row.column("id")?, sha256: row.column("sha256")?, object: Object::from_row(row)? }))
        .collect()
}

const NOTE_SOUND: &str = "
    update blobs set verified_at = now(), verifying_until = null, damage = null, damaged_at = null
    where id = $1 and object_key = $2";

/// It is what it was; also where it was not the last time.
pub(super) async fn note_sound(tenant: &impl Sql, due: &Due) -> Result<()> {
    tenant.execute(NOTE_SOUND, &[&due.id, &due.object.key.to_string()]).await.context("noting a sound content")?;
    Ok(())
}

const NOTE_DAMAGE: &str = "
    update blobs set verified_at = now(), verifying_until = null, damage = $3, damaged_at = coalesce(damaged_at, now())
    where id = $1 and object_key = $2 and state = 'ready'";

/// It is not. Says whether it should be: not where it was given up, or had another object, meanwhile.
pub(super) async fn note_damage(tenant: &impl Sql, due: &Due, damage: Damage) -> Result<bool> {
    let noted = tenant.execute(NOTE_DAMAGE, &[&due.id, &due.object.key.to_string(), &damage.as_str()]).await;
    Ok(noted.context("noting a damaged content")? == 1)
}

const PUT_OFF: &str = "update blobs set verifying_until = now() + make_interval(secs => $2) where id = $1";

/// Leaves a content of which nothing was found out to a later walk.
pub(super) async fn put_off(tenant: &impl Sql, due: &Due, by: Duration) -> Result<()> {
    tenant.execute(PUT_OFF, &[&due.id, &by.as_secs_f64()]).await.context("putting a content off").map(drop)
}
