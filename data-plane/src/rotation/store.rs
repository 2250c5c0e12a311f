//! What of `content_keys`, `blobs`, `upload_intents` and `jobs` is about sealing contents anew.

use std::time::Duration;

use rowhouse_blobs::BlobKey;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{BlobId, JobId};
use rowhouse_problem::Result;
use uuid::Uuid;

use super::views::ContentKeyView;
use crate::contents::Object;

const LIST: &str = "
    select content_key.id, content_key.number, content_key.created_at, count(blob.id) as contents,
        coalesce(sum(blob.size), 0)::bigint as bytes
    from content_keys content_key
    left join blobs blob on blob.tenant_id = content_key.tenant_id and blob.content_key_id = content_key.id
    where content_key.tenant_id = app_tenant_id()
    group by content_key.id, content_key.number, content_key.created_at order by content_key.number desc";

/// The tenant's keys, the newest first.
pub(super) async fn list(tenant: &impl Sql) -> Result<Vec<ContentKeyView>> {
    let rows = tenant.query(LIST, &[]).await.context("listing content keys")?;
    rows.iter()
        .map(|row| {
            Ok(ContentKeyView {
                id: row.column("id")?,
                number: row.column("number")?,
                contents: row.column("contents")?,
                bytes: row.column("bytes")?,
                created_at: row.column::<jiff::Timestamp>("created_at")?.into(),
            })
        })
        .collect()
}

/// A content that is sealed under an older key, or none.
pub(super) struct Due {
    pub(super) id: BlobId,
    pub(super) sha256: Vec<u8>,
    pub(super) object: Object,
}

const COUNT: &str = "
    update jobs set total = (
        select count(*) from blobs where tenant_id = app_tenant_id() and state = 'ready'
            and content_key_id is distinct from jobs.subject_id)
    where tenant_id = app_tenant_id() and id = $1";

/// Says of a job how much there is to do.
pub(super) async fn count(transaction: &impl Sql, job: JobId) -> Result<()> {
    transaction.execute(COUNT, &[&job]).await.context("counting contents to seal anew").map(drop)
}

const DUE: &str = "
    select blob.id, blob.sha256, blob.size, blob.object_key, blob.content_key_id, content_key.sealed as sealed_content_key
    from blobs blob left join content_keys content_key
        on content_key.tenant_id = app_tenant_id() and content_key.id = blob.content_key_id
    where blob.tenant_id = app_tenant_id() and blob.state = 'ready' and ($1::uuid is null or blob.id > $1)
        and blob.content_key_id is distinct from (
            select id from content_keys where tenant_id = app_tenant_id() order by number desc limit 1)
    order by blob.id limit 50";

/// Some contents behind `last` that are not sealed under the newest key.
pub(super) async fn due(tenant: &impl Sql, last: Option<BlobId>) -> Result<Vec<Due>> {
    let rows = tenant.query(DUE, &[&last]).await.context("looking for contents to seal anew")?;
    rows.iter()
        .map(|row| Ok(Due { id: row.column("id")?, sha256: row.column("sha256")?, object: Object::from_row(row)? }))
        .collect()
}

// The old object stays for those who are reading it.
const SWAP: &str = "
    with taken as (
        select id, bucket from blobs
        where tenant_id = app_tenant_id() and id = $1 and object_key = $2 and state = 'ready' for update
    ), left_over as (
        insert into upload_intents (bucket, object_key, state, expires_at)
        select bucket, $2, 'abandoned', now() + interval '1 hour' from taken
    )
    update blobs set bucket = $3, object_key = $4, content_key_id = $5, verified_at = now(), damage = null, damaged_at = null
    from taken where blobs.tenant_id = app_tenant_id() and blobs.id = taken.id";

/// Gives a content its new object. Says whether it still had the old one.
pub(super) async fn swap(
    transaction: &impl Sql,
    due: &Due,
    (bucket, object, key): (&str, BlobKey, Uuid),
) -> Result<bool> {
    let (old, new) = (due.object.key.to_string(), object.to_string());
    let swapped = transaction.execute(SWAP, &[&due.id, &old, &bucket, &new, &key]).await;
    Ok(swapped.context("giving a content its new object")? == 1)
}

const ADVANCE: &str = "update jobs set done = done + 1 where tenant_id = app_tenant_id() and id = $1";

/// Says of a job that another content is done.
pub(super) async fn advance(transaction: &impl Sql, job: JobId) -> Result<()> {
    transaction.execute(ADVANCE, &[&job]).await.context("counting a content that was sealed anew").map(drop)
}

const FORGET_UNUSED: &str = "
    delete from content_keys old where tenant_id = app_tenant_id()
        and exists (select from content_keys newer where newer.tenant_id = app_tenant_id() and newer.number > old.number
            and newer.created_at < now() - make_interval(secs => $1))
        and not exists (select from blobs where blobs.tenant_id = app_tenant_id() and blobs.content_key_id = old.id)
        and not exists (select from upload_parts part where part.tenant_id = app_tenant_id() and part.content_key_id = old.id)";

/// Removes keys that nothing is sealed under and that had a successor so long ago.
pub(super) async fn forget_unused(tenant: &impl Sql, age: Duration) -> Result<u64> {
    tenant.execute(FORGET_UNUSED, &[&age.as_secs_f64()]).await.context("forgetting unused content keys")
}
