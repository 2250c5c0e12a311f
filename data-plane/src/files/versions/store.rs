//! Tenant tables `file_versions` and `blobs`. Owns their SQL; decides nothing.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{AccountId, Actor, BlobId, FileId, ItemName, VersionId};
use rowhouse_problem::{Error, Result};
use tokio_postgres::Row;

use super::{NewBlob, Stored};
use crate::files::model::Version;
use crate::files::store::Content;

const INSERT_BLOB: &str = "
    insert into blobs (id, sha256, md5_hash, size, mime_type, bucket, object_key, created_by_kind, created_by)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    on conflict (tenant_id, sha256) where state = 'ready' do nothing returning id";
const SHARE_BLOB: &str = "select id from blobs where sha256 = $1 and state = 'ready' for share";

/// The blob of these bytes, and whether it was there before: then the new object is not needed.
pub(in crate::files) async fn insert_or_share_blob(
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
                    &actor.kind,
                    &actor.id,
                ],
            )
            .await
            .context("inserting a blob")?;
        if inserted.is_some() {
            return Ok((id, false));
        }
        let shared = transaction.query_opt(SHARE_BLOB, &[&new.sha256]).await.context("sharing a blob")?;
        if let Some(row) = shared {
            return Ok((row.column("id")?, true));
        }
    }
    Err(Error::unavailable("the blob to share vanished twice"))
}

const INSERT: &str = "
    insert into file_versions (id, file_id, version_number, blob_id, size, checksum, mime_type, declared_mime_type,
        account_id, modified_by_kind, modified_by)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/// Records a version of a file.
pub(in crate::files) async fn insert(
    transaction: &impl Sql,
    file: FileId,
    number: i32,
    blob: BlobId,
    content: &Content<'_>,
    account: Option<AccountId>,
    actor: Actor,
) -> Result<VersionId> {
    let id = VersionId::new();
    transaction
        .execute(
            INSERT,
            &[
                &id,
                &file,
                &number,
                &blob,
                &content.size,
                &content.checksum,
                &content.mime_type,
                &content.declared_mime_type,
                &account,
                &actor.kind,
                &actor.id,
            ],
        )
        .await
        .context("inserting a version")?;
    Ok(id)
}

const LIST: &str = "
    select id, file_id, version_number, size, checksum, mime_type, created_at from file_versions
    where file_id = $1 and version_number < $2 order by version_number desc limit $3";

/// Versions of a file, newest first, before the one numbered `before`.
pub(in crate::files) async fn list(tenant: &impl Sql, file: FileId, before: i32, limit: i64) -> Result<Vec<Version>> {
    let rows = tenant.query(LIST, &[&file, &before, &limit]).await.context("listing versions")?;
    rows.iter().map(version_from_row).collect()
}

fn version_from_row(row: &Row) -> Result<Version> {
    Ok(Version {
        id: row.column("id")?,
        file_id: row.column("file_id")?,
        version_number: row.column("version_number")?,
        size: row.column("size")?,
        checksum: row.column("checksum")?,
        mime_type: row.column("mime_type")?,
        created_at: row.column("created_at")?,
    })
}

const FIND_CURRENT: &str = "
    select file.name, version.version_number, version.size, version.checksum, version.mime_type, version.created_at, blob.object_key
    from files file
    join file_versions version on version.file_id = file.id and version.version_number = file.current_version
    join blobs blob on blob.id = version.blob_id
    where file.id = $1 and file.deleted_at is null";
const FIND_NUMBERED: &str = "
    select file.name, version.version_number, version.size, version.checksum, version.mime_type, version.created_at, blob.object_key
    from files file
    join file_versions version on version.file_id = file.id and version.version_number = $2
    join blobs blob on blob.id = version.blob_id
    where file.id = $1 and file.deleted_at is null";

/// The content of a live file: of its current version, or of the one with this number.
pub(in crate::files) async fn find_stored(
    tenant: &impl Sql,
    file: FileId,
    number: Option<i32>,
) -> Result<Option<Stored>> {
    let row = match number {
        None => tenant.query_opt(FIND_CURRENT, &[&file]).await,
        Some(number) => tenant.query_opt(FIND_NUMBERED, &[&file, &number]).await,
    };
    let Some(row) = row.context("reading where a content is")? else { return Ok(None) };
    let name: &str = row.column("name")?;
    let object: &str = row.column("object_key")?;
    Ok(Some(Stored {
        name: ItemName::parse(name).map_err(Error::internal)?,
        version: row.column("version_number")?,
        object: object.parse().map_err(|error| Error::internal(format!("{object:?}: {error}")))?,
        size: u64::try_from(row.column::<i64>("size")?).map_err(Error::internal)?,
        sha256: row.column("checksum")?,
        mime_type: row.column("mime_type")?,
        created_at: row.column("created_at")?,
    }))
}

const TOTAL: &str = "select coalesce(sum(size), 0)::bigint as total from file_versions where file_id = $1";

/// Bytes of all versions of a file.
pub(in crate::files) async fn total_size(tenant: &impl Sql, file: FileId) -> Result<i64> {
    tenant.query_one(TOTAL, &[&file]).await.context("adding up a file's versions")?.column("total")
}

const IS_REFERENCED: &str = "select id from blobs where object_key = $1";

/// Whether a blob has this object.
pub(in crate::files) async fn is_referenced(tenant: &impl Sql, object: &str) -> Result<bool> {
    let row = tenant.query_opt(IS_REFERENCED, &[&object]).await.context("looking for an object's blob")?;
    Ok(row.is_some())
}
