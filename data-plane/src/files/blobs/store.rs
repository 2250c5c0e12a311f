//! Tenant table `blobs`. Owns its SQL; decides nothing.

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_blobs::BlobKey;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{Actor, BlobId};
use rowhouse_problem::{Error, Result};

use super::NewBlob;

const INSERT_BLOB: &str = "
    insert into blobs (id, sha256, md5_hash, size, mime_type, bucket, object_key, content_key_id, created_by_kind,
        created_by)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    on conflict (tenant_id, sha256) where state = 'ready' do nothing returning id";
// An object that was lost or altered: the new one takes its place, and what is left of it is swept like an upload that ended.
const REPLACE_DAMAGED: &str = "
    with damaged as (
        select id, bucket, object_key from blobs
        where tenant_id = app_tenant_id() and sha256 = $1 and state = 'ready' and damage is not null for update
    ), left_over as (
        insert into upload_intents (bucket, object_key, state, expires_at)
        select bucket, object_key, 'abandoned', now() from damaged
    )
    update blobs set bucket = $2, object_key = $3, content_key_id = $4, verified_at = now(), damage = null, damaged_at = null
    from damaged where blobs.tenant_id = app_tenant_id() and blobs.id = damaged.id returning blobs.id";
const NOTE_MD5: &str = "update blobs set md5_hash = $2 where sha256 = $1 and state = 'ready' and md5_hash is null";
const SHARE_BLOB: &str = "select id from blobs where sha256 = $1 and state = 'ready' for share";

/// The blob of these bytes, and whether it was there before: then the new object is not needed.
pub(in crate::files) async fn insert_or_share(
    transaction: &impl Sql,
    new: &NewBlob<'_>,
    actor: Actor,
) -> Result<(BlobId, bool)> {
    // Twice, because the blob that stood in the way may be gone when it is looked for.
    for _ in 0..2 {
        let id = BlobId::new();
        let inserted = transaction
            .query_opt(
                INSERT_BLOB,
                &[
                    &id,
                    &new.sha256,
                    &new.md5,
                    &new.size,
                    &new.mime_type,
                    &new.bucket,
                    &new.object.to_string(),
                    &new.content_key,
                    &actor.kind,
                    &actor.id,
                ],
            )
            .await
            .context("inserting a blob")?;
        if inserted.is_some() {
            return Ok((id, false));
        }
        let replaced = transaction
            .query_opt(REPLACE_DAMAGED, &[&new.sha256, &new.bucket, &new.object.to_string(), &new.content_key])
            .await
            .context("replacing a damaged object")?;
        if let Some(row) = replaced {
            return Ok((row.column("id")?, false));
        }
        if let Some(md5) = new.md5 {
            // Before it is shared: of two who share it already, neither could change it.
            transaction.execute(NOTE_MD5, &[&new.sha256, &md5]).await.context("noting a content's MD5")?;
        }
        let shared = transaction.query_opt(SHARE_BLOB, &[&new.sha256]).await.context("sharing a blob")?;
        if let Some(row) = shared {
            return Ok((row.column("id")?, true));
        }
    }
    Err(Error::unavailable("the blob to share vanished twice"))
}

const LOCK_BLOBS: &str = "select id from blobs where id = any($1) order by id for no key update";
const NOTE_UNREFERENCED: &str = "
    update blobs set unreferenced_since = now()
    where id = any($1) and not exists (select from file_versions where blob_id = blobs.id)";

/// Notes which of the blobs have no version any more.
pub(in crate::files) async fn note_unreferenced(transaction: &impl Sql, blobs: &[BlobId]) -> Result<()> {
    // Of two that remove the last two versions at once, the second must see that the first has: it looks after it has the lock.
    transaction.query(LOCK_BLOBS, &[&blobs]).await.context("locking blobs")?;
    transaction.execute(NOTE_UNREFERENCED, &[&blobs]).await.context("noting unreferenced blobs")?;
    Ok(())
}

const IS_REFERENCED: &str = "select id from blobs where object_key = $1";

/// Whether a blob has this object.
pub(in crate::files) async fn is_referenced(tenant: &impl Sql, object: &str) -> Result<bool> {
    let row = tenant.query_opt(IS_REFERENCED, &[&object]).await.context("looking for an object's blob")?;
    Ok(row.is_some())
}

const CANDIDATES: &str = "
    select id from blobs where state = 'ready' and unreferenced_since < now() - make_interval(secs => $1)
    order by unreferenced_since limit $2 for update skip locked";

/// Blobs that had no version long enough ago, kept from being shared until the transaction ends; none that is being shared.
pub(in crate::files) async fn lock_unreferenced(
    transaction: &impl Sql,
    grace: Duration,
    limit: i64,
) -> Result<Vec<BlobId>> {
    let rows = transaction.query(CANDIDATES, &[&grace.as_secs_f64(), &limit]).await;
    rows.context("looking for unreferenced blobs")?.iter().map(|row| row.column("id")).collect()
}

const DOOM: &str = "
    update blobs set state = 'deleting', unreferenced_since = null
    where id = any($1) and not exists (select from file_versions where blob_id = blobs.id)";
const SPARE: &str = "update blobs set unreferenced_since = null where id = any($1) and state = 'ready'";

/// Gives up those of the locked blobs that have no version, and says how many. A statement of its own, after the locks: only
/// so does it see every version that was committed before them.
pub(in crate::files) async fn doom(transaction: &impl Sql, blobs: &[BlobId]) -> Result<u64> {
    let doomed = transaction.execute(DOOM, &[&blobs]).await.context("giving up blobs")?;
    transaction.execute(SPARE, &[&blobs]).await.context("sparing blobs that are in use again")?;
    Ok(doomed)
}

const DOOMED: &str = "
    select id, object_key from blobs where state = 'deleting' order by updated_at limit $1";

/// Blobs that are given up, those that were tried longest ago first.
pub(in crate::files) async fn doomed(tenant: &impl Sql, limit: i64) -> Result<Vec<(BlobId, BlobKey)>> {
    let rows = tenant.query(DOOMED, &[&limit]).await.context("listing blobs that are given up")?;
    rows.iter()
        .map(|row| {
            let object: &str = row.column("object_key")?;
            let key = object.parse().map_err(|error| Error::internal(format!("{object:?}: {error}")))?;
            Ok((row.column("id")?, key))
        })
        .collect()
}

const FORGET: &str = "delete from blobs where id = $1 and state = 'deleting'";

/// Nothing is left of a blob.
pub(in crate::files) async fn forget(tenant: &impl Sql, id: BlobId) -> Result<()> {
    tenant.execute(FORGET, &[&id]).await.context("forgetting a blob")?;
    Ok(())
}

// The trigger on `updated_at` puts it behind the others.
const POSTPONE: &str = "update blobs set state = 'deleting' where id = $1 and state = 'deleting'";

/// Leaves a blob that can't be removed now for later.
pub(in crate::files) async fn postpone(tenant: &impl Sql, id: BlobId) -> Result<()> {
    tenant.execute(POSTPONE, &[&id]).await.context("postponing a blob's end")?;
    Ok(())
}

const OLDEST: &str = "
    select unreferenced_since from blobs where state = 'ready' and unreferenced_since is not null
    order by unreferenced_since limit 1";

/// Since when a blob has been without a version, where there is any.
pub(in crate::files) async fn oldest_unreferenced(tenant: &impl Sql) -> Result<Option<Timestamp>> {
    let row = tenant.query_opt(OLDEST, &[]).await.context("looking for the next unreferenced blob")?;
    row.map(|row| row.column("unreferenced_since")).transpose()
}
