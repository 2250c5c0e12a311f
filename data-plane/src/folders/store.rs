//! Tenant table `folders`. Owns its SQL; decides nothing.

use std::collections::HashMap;

use rowhouse_database::{Columns, Described, QueryError, Sql};
use rowhouse_domain::{Actor, FolderId, ItemName, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use tokio_postgres::Row;

use super::model::{Folder, NewFolder};

/// A folder out of a row with its columns.
pub(super) fn from_row(row: &Row) -> Result<Folder> {
    let name: &str = row.column("name")?;
    Ok(Folder {
        id: row.column("id")?,
        workspace_id: row.column("workspace_id")?,
        parent_id: row.column("parent_id")?,
        name: ItemName::parse(name).map_err(Error::internal)?,
        metadata: row.column("metadata")?,
        created_at: row.column("created_at")?,
        updated_at: row.column("updated_at")?,
        deleted_at: row.column("deleted_at")?,
        deleted_with: row.column("deleted_with")?,
    })
}

fn explained<T>(result: Result<T, QueryError>) -> Result<T, QueryError> {
    result
        .on_constraint("folders_name_key", || {
            Error::new(Code::NameTaken, "A folder of this name exists in the same place. Choose another name.")
        })
        .on_constraint("folders_no_cycle_check", || {
            Error::new(Code::MoveIntoItself, "The folder that it is to go to is the folder itself or lies in it.")
        })
        .on_constraint("folders_depth_check", || {
            Error::invalid_field("/parent_id", "lies too deep: a folder, and what is in it, lies at most 64 deep")
        })
}

const INSERT: &str = "
    insert into folders (id, workspace_id, parent_id, name, name_normalized, metadata, created_by_kind, created_by)
    values ($1, $2, $3, $4, $5, $6, $7, $8)
    returning id, workspace_id, parent_id, name, metadata, created_at, updated_at, deleted_at, deleted_with";

/// Records a new folder.
pub(super) async fn insert(transaction: &impl Sql, new: &NewFolder, actor: Actor) -> Result<Folder> {
    let row = transaction
        .query_one(
            INSERT,
            &[
                &new.id,
                &new.workspace,
                &new.parent,
                &new.name.as_str(),
                &new.name.normalized(),
                &new.metadata,
                &actor.kind,
                &actor.id,
            ],
        )
        .await;
    from_row(&explained(row).context("inserting a folder")?)
}

const FIND: &str = "
    select id, workspace_id, parent_id, name, metadata, created_at, updated_at, deleted_at, deleted_with from folders
    where id = $1 and deleted_at is null";

/// A live folder.
pub(super) async fn find(tenant: &impl Sql, id: FolderId) -> Result<Folder> {
    let row = tenant.query_opt(FIND, &[&id]).await.context("reading a folder")?;
    row.as_ref().map(from_row).transpose()?.ok_or_else(|| Error::not_found("folder", id))
}

const LOCK: &str = "
    select id, workspace_id, parent_id, name, metadata, created_at, updated_at, deleted_at, deleted_with from folders
    where id = $1 and deleted_at is null for no key update";

/// A live folder that nobody else changes until the transaction ends.
pub(super) async fn lock(transaction: &impl Sql, id: FolderId) -> Result<Folder> {
    let row = transaction.query_opt(LOCK, &[&id]).await.context("locking a folder")?;
    row.as_ref().map(from_row).transpose()?.ok_or_else(|| Error::not_found("folder", id))
}

const FIND_DELETED: &str = "
    select id, workspace_id, parent_id, name, metadata, created_at, updated_at, deleted_at, deleted_with from folders
    where id = $1 and deleted_at is not null for no key update";

/// A deleted folder that nobody else changes until the transaction ends.
pub(super) async fn lock_deleted(transaction: &impl Sql, id: FolderId) -> Result<Option<Folder>> {
    let row = transaction.query_opt(FIND_DELETED, &[&id]).await.context("locking a deleted folder")?;
    row.as_ref().map(from_row).transpose()
}

const WORKSPACE: &str = "select workspace_id from folders where id = $1";

/// The workspace of a folder, deleted or not.
pub(super) async fn workspace(tenant: &impl Sql, id: FolderId) -> Result<WorkspaceId> {
    let row = tenant.query_opt(WORKSPACE, &[&id]).await.context("reading a folder's workspace")?;
    row.ok_or_else(|| Error::not_found("folder", id))?.column("workspace_id")
}

const FIND_BY_NAME: &str = "
    select id, name from folders
    where workspace_id = $1 and name_normalized = $3 and deleted_at is null
        and (parent_id = $2 or ($2::uuid is null and parent_id is null))";

/// The live folder of this name, whatever its case, with the name that it really has.
pub(crate) async fn find_by_name(
    tenant: &impl Sql,
    workspace: WorkspaceId,
    parent: Option<FolderId>,
    name: &ItemName,
) -> Result<Option<(FolderId, String)>> {
    let row = tenant
        .query_opt(FIND_BY_NAME, &[&workspace, &parent, &name.normalized()])
        .await
        .context("looking for a folder by its name")?;
    row.map(|row| Ok((row.column("id")?, row.column("name")?))).transpose()
}

const CHECK: &str = "select id from folders where id = $1 and workspace_id = $2 and deleted_at is null";

/// Refuses a folder that is not a live one of the workspace.
pub(crate) async fn check(tenant: &impl Sql, id: FolderId, workspace: WorkspaceId) -> Result<()> {
    let row = tenant.query_opt(CHECK, &[&id, &workspace]).await.context("looking for a folder")?;
    row.map(|_| ()).ok_or_else(|| Error::not_found("folder", id))
}

const HOLD: &str = "select id from folders where id = $1 and workspace_id = $2 and deleted_at is null for share";

/// Keeps a live folder of the workspace from being deleted until the transaction ends.
pub(crate) async fn hold(transaction: &impl Sql, id: FolderId, workspace: WorkspaceId) -> Result<()> {
    let row = transaction.query_opt(HOLD, &[&id, &workspace]).await.context("holding a folder")?;
    row.map(|_| ()).ok_or_else(|| Error::not_found("folder", id))
}

const HOLD_ALL: &str = "
    select id, workspace_id from folders where id = any($1) and deleted_at is null order by id for share";

/// The workspaces of those of the folders that live; none of these is deleted until the transaction ends.
pub(crate) async fn hold_all(transaction: &impl Sql, ids: &[FolderId]) -> Result<HashMap<FolderId, WorkspaceId>> {
    let rows = transaction.query(HOLD_ALL, &[&ids]).await.context("holding folders")?;
    rows.iter().map(|row| Ok((row.column("id")?, row.column("workspace_id")?))).collect()
}

const ANCESTORS: &str = "
    with recursive ancestors as (
        select id, parent_id, 0 as distance from folders where id = $1 and deleted_at is null
        union all
        select folder.id, folder.parent_id, distance + 1
        from ancestors join folders folder on folder.id = ancestors.parent_id where distance < 64
    )
    select folder.id, workspace_id, folder.parent_id, name, metadata, created_at, updated_at, deleted_at, deleted_with
    from ancestors join folders folder on folder.id = ancestors.id order by distance desc";

/// The folders from the workspace's top to a live one, itself included.
pub(super) async fn path(tenant: &impl Sql, id: FolderId) -> Result<Vec<Folder>> {
    let rows = tenant.query(ANCESTORS, &[&id]).await.context("reading a folder's ancestors")?;
    if rows.is_empty() {
        return Err(Error::not_found("folder", id));
    }
    rows.iter().map(from_row).collect()
}

const UPDATE: &str = "
    update folders set name = $2, name_normalized = $3, workspace_id = $4, parent_id = $5, metadata = $6 where id = $1
    returning id, workspace_id, parent_id, name, metadata, created_at, updated_at, deleted_at, deleted_with";

/// Writes everything that can change.
pub(super) async fn update(transaction: &impl Sql, folder: &Folder) -> Result<Folder> {
    let name: &ItemName = &folder.name;
    let row = transaction
        .query_one(
            UPDATE,
            &[
                &folder.id,
                &name.as_str(),
                &name.normalized(),
                &folder.workspace_id,
                &folder.parent_id,
                &folder.metadata,
            ],
        )
        .await;
    from_row(&explained(row).context("changing a folder")?)
}

const INSIDE: &str = "
    with recursive inside as (
        select id from folders where id = $1
        union all
        select folder.id from inside join folders folder on folder.parent_id = inside.id
    )
    select id from inside limit $2";

/// A folder and those in it, deleted ones too, but no more than `most` of them.
pub(crate) async fn inside(transaction: &impl Sql, id: FolderId, most: usize) -> Result<Vec<FolderId>> {
    let most = i64::try_from(most).map_err(Error::internal)?;
    let rows = transaction.query(INSIDE, &[&id, &most]).await.context("walking through a folder")?;
    rows.iter().map(|row| row.column("id")).collect()
}

const COUNT_FILES: &str =
    "select count(*) as files from (select from files where folder_id = any($1) limit $2) counted";

/// How many files lie in the folders, deleted ones too; it counts no further than `most`.
pub(super) async fn count_files(transaction: &impl Sql, folders: &[FolderId], most: usize) -> Result<usize> {
    let most = i64::try_from(most).map_err(Error::internal)?;
    let row = transaction.query_one(COUNT_FILES, &[&folders, &most]).await.context("counting the files of folders")?;
    usize::try_from(row.column::<i64>("files")?).map_err(Error::internal)
}

const SIZE: &str = "select folders_size($1) as size";

/// Bytes of all versions of all files in the folders.
pub(super) async fn size(transaction: &impl Sql, folders: &[FolderId]) -> Result<i64> {
    transaction.query_one(SIZE, &[&folders]).await.context("measuring folders")?.column("size")
}

const DELETE: &str = "update folders set deleted_at = now() where id = $1";

/// Deletes a folder alone.
pub(super) async fn delete(transaction: &impl Sql, id: FolderId) -> Result<()> {
    transaction.execute(DELETE, &[&id]).await.context("deleting a folder")?;
    Ok(())
}

const RESTORE: &str = "
    select id, workspace_id, parent_id, name, metadata, created_at, updated_at, deleted_at, deleted_with
    from folder_restore($1, $2)";

/// Brings a deleted folder back alone, into `parent`.
pub(super) async fn restore(transaction: &impl Sql, id: FolderId, parent: Option<FolderId>) -> Result<Folder> {
    let row = transaction.query_one(RESTORE, &[&id, &parent]).await;
    from_row(&explained(row).context("restoring a folder")?)
}
