//! Tenant tables `workspaces`, `folders` and `files`, read as buckets and keys. Owns these statements; decides nothing.

use jiff::Timestamp;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{FileId, FolderId, ItemName, WorkspaceId};
use rowhouse_problem::{Error, Result};
use tokio_postgres::Row;
use uuid::Uuid;

/// A workspace as a bucket.
pub(super) struct Bucket {
    pub(super) id: WorkspaceId,
    pub(super) identifier: Option<String>,
    pub(super) created_at: Timestamp,
}

const LIST_BUCKETS: &str = "
    select id, unique_identifier, created_at from workspaces where deleted_at is null and id > $1 order by id limit $2";

/// Live workspaces in the order of their making, after `after`.
pub(super) async fn list_buckets(tenant: &impl Sql, after: Uuid, limit: i64) -> Result<Vec<Bucket>> {
    let rows = tenant.query(LIST_BUCKETS, &[&after, &limit]).await.context("listing buckets")?;
    let bucket = |row: &Row| {
        Ok(Bucket {
            id: row.column("id")?,
            identifier: row.column("unique_identifier")?,
            created_at: row.column("created_at")?,
        })
    };
    rows.iter().map(bucket).collect()
}

const IS_BUCKET: &str = "select id from workspaces where id = $1 and deleted_at is null";

/// Whether there is a live workspace of this id.
pub(super) async fn is_bucket(tenant: &impl Sql, id: WorkspaceId) -> Result<bool> {
    Ok(tenant.query_opt(IS_BUCKET, &[&id]).await.context("looking for a bucket")?.is_some())
}

const FIND_BUCKET: &str = "select id from workspaces where unique_identifier = $1 and deleted_at is null";

/// The live workspace with this identifier.
pub(super) async fn find_bucket(tenant: &impl Sql, identifier: &str) -> Result<Option<WorkspaceId>> {
    let row = tenant.query_opt(FIND_BUCKET, &[&identifier]).await.context("looking for a bucket")?;
    row.map(|row| row.column("id")).transpose()
}

const FIND_FILE: &str = "
    select id from files
    where workspace_id = $1 and name_normalized = $3 and deleted_at is null
        and (folder_id = $2 or ($2::uuid is null and folder_id is null))";

/// The live file of this name, whatever its case.
pub(super) async fn find_file(
    tenant: &impl Sql,
    workspace: WorkspaceId,
    folder: Option<FolderId>,
    name: &ItemName,
) -> Result<Option<FileId>> {
    let row = tenant
        .query_opt(FIND_FILE, &[&workspace, &folder, &name.normalized()])
        .await
        .context("looking for a file by its name")?;
    row.map(|row| row.column("id")).transpose()
}

/// Where a list goes on: in one folder, behind a name, as far as a name.
pub(super) struct Span<'a> {
    pub(super) workspace: WorkspaceId,
    pub(super) folder: Option<FolderId>,
    pub(super) after: &'a str,
    pub(super) before: &'a str,
    pub(super) limit: i64,
}

/// A file as an object.
pub(super) struct Found {
    pub(super) id: FileId,
    pub(super) version: i32,
    pub(super) name: String,
    pub(super) size: i64,
    pub(super) checksum: Vec<u8>,
    pub(super) modified: Timestamp,
}

const FILES: &str = "
    select file.id, file.name, file.size, file.checksum, file.current_version, version.created_at
    from files file
    join file_versions version on version.file_id = file.id and version.version_number = file.current_version
    where file.workspace_id = $1 and file.folder_id = $5 and file.deleted_at is null
        and file.name collate \"C\" > $2 and file.name collate \"C\" < $3
    order by file.name collate \"C\" limit $4";
// Ordered by what is null, too, so that the index gives the order: a bucket may hold millions of keys without a slash.
const FILES_AT_TOP: &str = "
    select file.id, file.name, file.size, file.checksum, file.current_version, version.created_at
    from files file
    join file_versions version on version.file_id = file.id and version.version_number = file.current_version
    where file.workspace_id = $1 and file.folder_id is null and file.deleted_at is null
        and file.name collate \"C\" > $2 and file.name collate \"C\" < $3
    order by file.folder_id, file.name collate \"C\" limit $4";

/// Live files in the order of their names' bytes.
pub(super) async fn files(tenant: &impl Sql, span: &Span<'_>) -> Result<Vec<Found>> {
    let Span { workspace, folder, after, before, limit } = span;
    let rows = match folder {
        Some(folder) => tenant.query(FILES, &[workspace, after, before, limit, folder]).await,
        None => tenant.query(FILES_AT_TOP, &[workspace, after, before, limit]).await,
    };
    let found = |row: &Row| {
        Ok(Found {
            id: row.column("id")?,
            version: row.column("current_version")?,
            name: row.column("name")?,
            size: row.column("size")?,
            checksum: row.column("checksum")?,
            modified: row.column("created_at")?,
        })
    };
    rows.context("listing objects")?.iter().map(found).collect()
}

const FOLDERS: &str = "
    select id, sort_key from folders
    where workspace_id = $1 and parent_id = $5 and deleted_at is null and sort_key > $2 and sort_key < $3
    order by sort_key limit $4";
const FOLDERS_AT_TOP: &str = "
    select id, sort_key from folders
    where workspace_id = $1 and parent_id is null and deleted_at is null and sort_key > $2 and sort_key < $3
    order by parent_id, sort_key limit $4";

/// Live folders in the order of their names' bytes, each name with a `/` behind it.
pub(super) async fn folders(tenant: &impl Sql, span: &Span<'_>) -> Result<Vec<(FolderId, String)>> {
    let Span { workspace, folder, after, before, limit } = span;
    let rows = match folder {
        Some(folder) => tenant.query(FOLDERS, &[workspace, after, before, limit, folder]).await,
        None => tenant.query(FOLDERS_AT_TOP, &[workspace, after, before, limit]).await,
    };
    let found = |row: &Row| Ok((row.column("id")?, row.column("sort_key")?));
    rows.context("listing folders as prefixes")?.iter().map(found).collect::<Result<_, Error>>()
}
