//! Tenant table `file_versions`. Owns its SQL; decides nothing.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{AccountId, Actor, BlobId, FileId, ItemName, VersionId};
use rowhouse_problem::{Error, Result};
use serde_json::Value;
use tokio_postgres::Row;

use super::{Removed, Stored};
use crate::contents::Object;
use crate::files::model::Version;
use crate::files::store::Content;
use crate::workspaces::model::VersionRules;

const INSERT: &str = "
    insert into file_versions (id, file_id, version_number, blob_id, size, checksum, mime_type, declared_mime_type,
        user_metadata, account_id, modified_by_kind, modified_by, change_summary)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

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
                &content.user_metadata,
                &account,
                &actor.kind,
                &actor.id,
                &content.change_summary,
            ],
        )
        .await
        .context("inserting a version")?;
    Ok(id)
}

const LIST: &str = "
    select id, file_id, version_number, size, checksum, mime_type, declared_mime_type, user_metadata, change_summary, created_at,
        (select md5_hash from blobs where id = file_versions.blob_id) as md5
    from file_versions
    where file_id = $1 and version_number < $2 order by version_number desc limit $3";

/// Versions of a file, newest first, before the one numbered `before`.
pub(in crate::files) async fn list(tenant: &impl Sql, file: FileId, before: i32, limit: i64) -> Result<Vec<Version>> {
    let rows = tenant.query(LIST, &[&file, &before, &limit]).await.context("listing versions")?;
    rows.iter().map(version_from_row).collect()
}

const LIST_ALL: &str = "
    select version.id, version.file_id, version.version_number, version.size, version.checksum, version.mime_type,
        version.declared_mime_type, version.user_metadata, version.change_summary, version.created_at, null::bytea as md5
    from unnest($1::uuid[]) with ordinality wanted (file_id, place)
    cross join lateral (
        select id, file_id, version_number, size, checksum, mime_type, declared_mime_type, user_metadata, change_summary, created_at
        from file_versions
        where file_versions.file_id = wanted.file_id order by version_number desc limit $2
    ) version
    order by wanted.place, version.version_number desc limit $2";

/// Versions of these files in their order, newest first, but no more than so many in all.
pub(in crate::files) async fn list_all(tenant: &impl Sql, files: &[FileId], limit: i64) -> Result<Vec<Version>> {
    let rows = tenant.query(LIST_ALL, &[&files, &limit]).await.context("listing versions of files")?;
    rows.iter().map(version_from_row).collect()
}

const GET: &str = "
    select id, file_id, version_number, size, checksum, mime_type, declared_mime_type, user_metadata, change_summary, created_at,
        (select md5_hash from blobs where id = file_versions.blob_id) as md5
    from file_versions
    where file_id = $1 and version_number = $2";

/// A version of a file.
pub(in crate::files) async fn get(tenant: &impl Sql, file: FileId, number: i32) -> Result<Version> {
    let row = tenant.query_opt(GET, &[&file, &number]).await.context("reading a version")?;
    row.as_ref().map(version_from_row).transpose()?.ok_or_else(|| not_found(file, number))
}

/// There is no such version.
pub(in crate::files) fn not_found(file: FileId, number: i32) -> Error {
    Error::not_found("version of a file", format!("{number} of {file}"))
}

/// What another version with the same content needs of one.
pub(in crate::files) struct Source {
    pub(in crate::files) blob: BlobId,
    pub(in crate::files) declared_mime_type: Option<String>,
    pub(in crate::files) user_metadata: Option<Value>,
}

const SHARE: &str = "
    select blob.id, version.declared_mime_type, version.user_metadata
    from file_versions version join blobs blob on blob.id = version.blob_id
    where version.id = $1 and blob.state = 'ready' for share of blob";

/// The blob of a version, kept from being removed until the transaction ends. The version is found by its id: a number that is free
/// again is given to another content.
pub(in crate::files) async fn share(transaction: &impl Sql, version: &Version) -> Result<Source> {
    let row = transaction.query_opt(SHARE, &[&version.id]).await.context("sharing a version's blob")?;
    let row = row.ok_or_else(|| not_found(version.file_id, version.version_number))?;
    Ok(Source {
        blob: row.column("id")?,
        declared_mime_type: row.column("declared_mime_type")?,
        user_metadata: row.column("user_metadata")?,
    })
}

const DELETE: &str = "
    delete from file_versions where file_id = $1 and version_number = any($2)
    returning file_id, version_number, size, account_id, blob_id";

/// Deletes versions of a file that are not its current one.
pub(in crate::files) async fn delete(transaction: &impl Sql, file: FileId, numbers: &[i32]) -> Result<Vec<Removed>> {
    let rows = transaction.query(DELETE, &[&file, &numbers]).await.context("deleting versions")?;
    rows.iter().map(removed_from_row).collect()
}

const DELETE_ALL: &str = "
    delete from file_versions where file_id = any($1)
    returning file_id, version_number, size, account_id, blob_id";

/// Deletes all versions of files that go in the same transaction.
pub(in crate::files) async fn delete_all(transaction: &impl Sql, files: &[FileId]) -> Result<Vec<Removed>> {
    let rows = transaction.query(DELETE_ALL, &[&files]).await.context("deleting all versions of files")?;
    rows.iter().map(removed_from_row).collect()
}

fn removed_from_row(row: &Row) -> Result<Removed> {
    Ok(Removed {
        file: row.column("file_id")?,
        version: row.column("version_number")?,
        size: row.column("size")?,
        account: row.column("account_id")?,
        blob: row.column("blob_id")?,
    })
}

// The newest one is the current one. A version counts its days from when the next one came.
const SUPERFLUOUS: &str = "
    select version_number from (
        select version_number, row_number() over newest as place, lag(created_at) over newest as replaced_at
        from file_versions where file_id = $1 window newest as (order by version_number desc)
    ) version
    where place > coalesce($2::integer, 1) and ($3::integer is null or replaced_at < now() - make_interval(days => $3))
    order by version_number limit $4";

/// Numbers of the versions that no rule keeps, oldest first.
pub(in crate::files) async fn superfluous(
    transaction: &impl Sql,
    file: FileId,
    rules: VersionRules,
    limit: i64,
) -> Result<Vec<i32>> {
    let rows = transaction
        .query(SUPERFLUOUS, &[&file, &rules.keep_versions, &rules.keep_versions_days, &limit])
        .await
        .context("looking for versions that no rule keeps")?;
    rows.iter().map(|row| row.column("version_number")).collect()
}

const QUEUE_PRUNING: &str = "
    insert into jobs (kind, subject_id)
    select 'prune_workspace', workspace.id from workspaces workspace
    where workspace.deleted_at is null and (workspace.keep_versions is not null or workspace.keep_versions_days is not null)
        and not exists (
            select from jobs where subject_id = workspace.id and kind = 'prune_workspace' and state in ('queued', 'running'))";

/// Queues a look at every workspace that has rules, and says how many there are.
pub(in crate::files) async fn queue_pruning(tenant: &impl Sql) -> Result<u64> {
    tenant.execute(QUEUE_PRUNING, &[]).await.context("queueing the pruning of versions")
}

fn version_from_row(row: &Row) -> Result<Version> {
    Ok(Version {
        id: row.column("id")?,
        file_id: row.column("file_id")?,
        version_number: row.column("version_number")?,
        size: row.column("size")?,
        checksum: row.column("checksum")?,
        mime_type: row.column("mime_type")?,
        declared_mime_type: row.column("declared_mime_type")?,
        user_metadata: row.column("user_metadata")?,
        change_summary: row.column("change_summary")?,
        md5: row.column("md5")?,
        created_at: row.column("created_at")?,
    })
}

const FIND_CURRENT: &str = "
    select file.name, version.id, version.version_number, version.size, version.checksum, version.mime_type, version.user_metadata,
        version.created_at, blob.object_key, blob.content_key_id, content_key.sealed as sealed_content_key
    from files file
    join file_versions version on version.file_id = file.id and version.version_number = file.current_version
    join blobs blob on blob.id = version.blob_id
    left join content_keys content_key on content_key.id = blob.content_key_id
    where file.id = $1 and file.deleted_at is null";
const FIND_NUMBERED: &str = "
    select file.name, version.id, version.version_number, version.size, version.checksum, version.mime_type, version.user_metadata,
        version.created_at, blob.object_key, blob.content_key_id, content_key.sealed as sealed_content_key
    from files file
    join file_versions version on version.file_id = file.id and version.version_number = $2
    join blobs blob on blob.id = version.blob_id
    left join content_keys content_key on content_key.id = blob.content_key_id
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
    Ok(Some(Stored {
        file,
        id: row.column("id")?,
        name: ItemName::parse(name).map_err(Error::internal)?,
        version: row.column("version_number")?,
        object: Object::from_row(&row)?,
        sha256: row.column("checksum")?,
        mime_type: row.column("mime_type")?,
        user_metadata: row.column("user_metadata")?,
        created_at: row.column("created_at")?,
    }))
}

const TOTAL: &str = "select coalesce(sum(size), 0)::bigint as total from file_versions where file_id = $1";

/// Bytes of all versions of a file.
pub(in crate::files) async fn total_size(tenant: &impl Sql, file: FileId) -> Result<i64> {
    tenant.query_one(TOTAL, &[&file]).await.context("adding up a file's versions")?.column("total")
}
