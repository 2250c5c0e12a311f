//! Tenant table `files`. Owns its SQL; decides nothing.

use std::time::Duration;

use rowhouse_database::{Columns, Described, QueryError, Sql};
use rowhouse_domain::{Actor, FileId, FolderId, ItemName, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::model::{File, Place};

pub(super) fn from_row(row: &Row) -> Result<File> {
    let name: &str = row.column("name")?;
    Ok(File {
        id: row.column("id")?,
        workspace_id: row.column("workspace_id")?,
        folder_id: row.column("folder_id")?,
        name: ItemName::parse(name).map_err(Error::internal)?,
        file_type: row.column("file_type")?,
        mime_type: row.column("mime_type")?,
        declared_mime_type: row.column("declared_mime_type")?,
        current_version: row.column("current_version")?,
        size: row.column("size")?,
        checksum: row.column("checksum")?,
        tags: row.column("tags")?,
        metadata: row.column("metadata")?,
        created_at: row.column("created_at")?,
        updated_at: row.column("updated_at")?,
        deleted_at: row.column("deleted_at")?,
        indexed_at: row.column("indexed_at")?,
    })
}

/// The name is in use where the file is or goes.
pub(super) fn name_taken() -> Error {
    Error::new(Code::NameTaken, "A file of this name exists in the same place. Choose another name.")
}

fn explained<T>(result: Result<T, QueryError>) -> Result<T, QueryError> {
    result.on_constraint("files_name_key", name_taken)
}

const FIND: &str = "
    select id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at
    from files where id = $1 and deleted_at is null";

/// A live file.
pub(super) async fn find(tenant: &impl Sql, id: FileId) -> Result<File> {
    let row = tenant.query_opt(FIND, &[&id]).await.context("reading a file")?;
    row.as_ref().map(from_row).transpose()?.ok_or_else(|| Error::not_found("file", id))
}

const LOCK: &str = "
    select id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at
    from files where id = $1 and deleted_at is null for no key update";

/// A live file that nobody else changes until the transaction ends.
pub(super) async fn lock(transaction: &impl Sql, id: FileId) -> Result<File> {
    let row = transaction.query_opt(LOCK, &[&id]).await.context("locking a file")?;
    row.as_ref().map(from_row).transpose()?.ok_or_else(|| Error::not_found("file", id))
}

const LOCK_DELETED: &str = "
    select id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at
    from files where id = $1 and deleted_at is not null for no key update";

/// A deleted file that nobody else changes until the transaction ends.
pub(super) async fn lock_deleted(transaction: &impl Sql, id: FileId) -> Result<Option<File>> {
    let row = transaction.query_opt(LOCK_DELETED, &[&id]).await.context("locking a deleted file")?;
    row.as_ref().map(from_row).transpose()
}

const IS_TAKEN: &str = "
    select id from files
    where workspace_id = $1 and name_normalized = $3 and deleted_at is null
        and (folder_id = $2 or ($2::uuid is null and folder_id is null))";

/// Whether a live file has the name.
pub(super) async fn is_taken(tenant: &impl Sql, place: &Place) -> Result<bool> {
    let row = tenant
        .query_opt(IS_TAKEN, &[&place.workspace, &place.folder, &place.name.normalized()])
        .await
        .context("looking for a file's name")?;
    Ok(row.is_some())
}

const LOCK_AT: &str = "
    select id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at
    from files
    where workspace_id = $1 and name_normalized = $3 and deleted_at is null
        and (folder_id = $2 or ($2::uuid is null and folder_id is null))
    for no key update";

/// The live file of a name in a place, where there is one; nobody else changes it until the transaction ends.
pub(super) async fn lock_at(transaction: &impl Sql, place: &Place) -> Result<Option<File>> {
    let row = transaction
        .query_opt(LOCK_AT, &[&place.workspace, &place.folder, &place.name.normalized()])
        .await
        .context("locking a file by its name")?;
    row.as_ref().map(from_row).transpose()
}

/// What the content of a file is.
pub(super) struct Content<'a> {
    pub(super) size: i64,
    pub(super) checksum: &'a [u8],
    pub(super) mime_type: &'a str,
    pub(super) declared_mime_type: Option<&'a str>,
    pub(super) file_type: &'a str,
    /// The version's alone: the file has metadata of its own.
    pub(super) user_metadata: Option<&'a Value>,
    /// The version's alone.
    pub(super) change_summary: Option<&'a str>,
}

const INSERT: &str = "
    insert into files (id, workspace_id, folder_id, name, name_normalized, file_type, mime_type, declared_mime_type,
        size, checksum, created_by_kind, created_by)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    returning id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at";

/// Records a new file. Its first version must follow in the same transaction.
pub(super) async fn insert(
    transaction: &impl Sql,
    id: FileId,
    place: &Place,
    content: &Content<'_>,
    actor: Actor,
) -> Result<File> {
    let row = transaction
        .query_one(
            INSERT,
            &[
                &id,
                &place.workspace,
                &place.folder,
                &place.name.as_str(),
                &place.name.normalized(),
                &content.file_type,
                &content.mime_type,
                &content.declared_mime_type,
                &content.size,
                &content.checksum,
                &actor.kind,
                &actor.id,
            ],
        )
        .await;
    from_row(&explained(row).context("inserting a file")?)
}

const SET_CONTENT: &str = "
    update files set current_version = $2, size = $3, checksum = $4, mime_type = $5, declared_mime_type = $6,
        file_type = $7
    where id = $1
    returning id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at";

/// Makes a version the current one.
pub(super) async fn set_content(
    transaction: &impl Sql,
    id: FileId,
    version: i32,
    content: &Content<'_>,
) -> Result<File> {
    let row = transaction
        .query_one(
            SET_CONTENT,
            &[
                &id,
                &version,
                &content.size,
                &content.checksum,
                &content.mime_type,
                &content.declared_mime_type,
                &content.file_type,
            ],
        )
        .await
        .context("changing a file's content")?;
    from_row(&row)
}

const UPDATE: &str = "
    update files set workspace_id = $2, folder_id = $3, name = $4, name_normalized = $5, tags = $6, metadata = $7
    where id = $1
    returning id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at";

/// Writes what a change of metadata can touch.
pub(super) async fn update(transaction: &impl Sql, file: &File) -> Result<File> {
    let row = transaction
        .query_one(
            UPDATE,
            &[
                &file.id,
                &file.workspace_id,
                &file.folder_id,
                &file.name.as_str(),
                &file.name.normalized(),
                &file.tags,
                &file.metadata,
            ],
        )
        .await;
    from_row(&explained(row).context("changing a file")?)
}

const DELETE: &str = "update files set deleted_at = now() where id = $1";

/// Deletes a file; its content is kept until it is purged.
pub(super) async fn delete(transaction: &impl Sql, id: FileId) -> Result<()> {
    transaction.execute(DELETE, &[&id]).await.context("deleting a file")?;
    Ok(())
}

const RESTORE: &str = "
    update files set deleted_at = null, deleted_with = null, folder_id = $2 where id = $1
    returning id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at";

/// Brings a deleted file back, into `folder`.
pub(super) async fn restore(transaction: &impl Sql, id: FileId, folder: Option<FolderId>) -> Result<File> {
    let row = transaction.query_one(RESTORE, &[&id, &folder]).await;
    from_row(&explained(row).context("restoring a file")?)
}

const FIND_WORKSPACE: &str = "select workspace_id from files where id = $1";

/// The workspace of a file, deleted or not.
pub(super) async fn find_workspace(tenant: &impl Sql, id: FileId) -> Result<Option<WorkspaceId>> {
    let row = tenant.query_opt(FIND_WORKSPACE, &[&id]).await.context("looking for a file's workspace")?;
    row.map(|row| row.column("workspace_id")).transpose()
}

const LIST_IDS: &str = "
    select id, current_version from files where workspace_id = $1 and id > $2 order by id limit $3";

/// Files of a workspace, deleted or not, and their current versions.
pub(super) async fn list_ids(
    tenant: &impl Sql,
    workspace: WorkspaceId,
    after: Uuid,
    limit: i64,
) -> Result<Vec<(FileId, i32)>> {
    let rows = tenant.query(LIST_IDS, &[&workspace, &after, &limit]).await.context("walking over files")?;
    rows.iter().map(|row| Ok((row.column("id")?, row.column("current_version")?))).collect()
}

const LIST_IN: &str = "
    select folder.id as folder_id, file.id from unnest($1::uuid[]) folder (id)
    cross join lateral (
        select files.id from files where files.folder_id = folder.id and deleted_at is null and files.id > $2
        order by files.id limit $3
    ) file";

/// Live files directly in the folders, after `after`, of each at most so many, in the order of their ids.
pub(crate) async fn list_in(
    tenant: &impl Sql,
    folders: &[FolderId],
    after: Uuid,
    most: usize,
) -> Result<Vec<(FolderId, FileId)>> {
    let most = i64::try_from(most).map_err(Error::internal)?;
    let rows = tenant.query(LIST_IN, &[&folders, &after, &most]).await.context("walking over folders' files")?;
    rows.iter().map(|row| Ok((row.column("folder_id")?, row.column("id")?))).collect()
}

/// Where a locked file is.
pub(super) struct Locked {
    pub(super) id: FileId,
    pub(super) workspace: WorkspaceId,
    pub(super) is_deleted: bool,
}

const LOCK_ANY: &str = "
    select id, workspace_id, is_deleted from files where id = any($1) order by id for no key update";

/// Files, deleted or not, that nobody else changes until the transaction ends.
pub(super) async fn lock_any(transaction: &impl Sql, ids: &[FileId]) -> Result<Vec<Locked>> {
    let rows = transaction.query(LOCK_ANY, &[&ids]).await.context("locking files")?;
    let locked = |row: &Row| {
        Ok(Locked {
            id: row.column("id")?,
            workspace: row.column("workspace_id")?,
            is_deleted: row.column("is_deleted")?,
        })
    };
    rows.iter().map(locked).collect()
}

const WORKSPACES_OF: &str = "select distinct workspace_id from files where id = any($1)";

/// The workspaces of files, deleted or not.
pub(super) async fn workspaces_of(tenant: &impl Sql, ids: &[FileId]) -> Result<Vec<WorkspaceId>> {
    let rows = tenant.query(WORKSPACES_OF, &[&ids]).await.context("looking for files' workspaces")?;
    rows.iter().map(|row| row.column("workspace_id")).collect()
}

const PURGE: &str = "delete from files where id = any($1)";

/// Removes files for good. Their versions go in the same transaction.
pub(super) async fn purge(transaction: &impl Sql, ids: &[FileId]) -> Result<()> {
    transaction.execute(PURGE, &[&ids]).await.context("purging files")?;
    Ok(())
}

const DELETED_BEFORE: &str = "
    select id from files where deleted_at < now() - make_interval(secs => $1) and deleted_with is null
    order by deleted_at limit $2";

/// Files that were deleted by themselves so long ago, the earliest first.
pub(super) async fn deleted_before(tenant: &impl Sql, age: Duration, limit: i64) -> Result<Vec<FileId>> {
    let rows = tenant.query(DELETED_BEFORE, &[&age.as_secs_f64(), &limit]).await.context("looking into the trash")?;
    rows.iter().map(|row| row.column("id")).collect()
}

const OLDEST_DELETION: &str = "
    select deleted_at from files where deleted_at is not null and deleted_with is null order by deleted_at limit 1";

/// When the file was deleted that was deleted first, where there is any.
pub(super) async fn oldest_deletion(tenant: &impl Sql) -> Result<Option<jiff::Timestamp>> {
    let row = tenant.query_opt(OLDEST_DELETION, &[]).await.context("looking for the oldest deletion")?;
    row.map(|row| row.column("deleted_at")).transpose()
}
