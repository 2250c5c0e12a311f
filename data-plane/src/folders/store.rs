//! Tenant table `folders`. Owns its SQL; decides nothing.

use rowhouse_database::{Columns, Described, QueryError, Sql};
use rowhouse_domain::{Actor, FolderId, ItemName, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use tokio_postgres::Row;
use uuid::Uuid;

use super::model::{Folder, NewFolder};

fn from_row(row: &Row) -> Result<Folder> {
    let name: &str = row.column("name")?;
    Ok(Folder {
        id: row.column("id")?,
        workspace_id: row.column("workspace_id")?,
        parent_id: row.column("parent_id")?,
        name: ItemName::parse(name).map_err(Error::internal)?,
        metadata: row.column("metadata")?,
        created_at: row.column("created_at")?,
        updated_at: row.column("updated_at")?,
    })
}

fn explained<T>(result: Result<T, QueryError>) -> Result<T, QueryError> {
    let invalid = |detail: &'static str| move || Error::invalid_field("/parent_id", detail);
    result
        .on_constraint("folders_name_key", || {
            Error::new(Code::NameTaken, "A folder of this name exists in the same place. Choose another name.")
        })
        .on_constraint("folders_no_cycle_check", invalid("must not lie in the folder itself"))
        .on_constraint("folders_depth_check", invalid("lies too deep already: folders lie at most 100 deep"))
}

const INSERT: &str = "
    insert into folders (id, workspace_id, parent_id, name, name_normalized, metadata, created_by_kind, created_by)
    values ($1, $2, $3, $4, $5, $6, $7, $8)
    returning id, workspace_id, parent_id, name, metadata, created_at, updated_at";

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
    select id, workspace_id, parent_id, name, metadata, created_at, updated_at from folders
    where id = $1 and deleted_at is null";

/// A live folder.
pub(super) async fn find(tenant: &impl Sql, id: FolderId) -> Result<Folder> {
    let row = tenant.query_opt(FIND, &[&id]).await.context("reading a folder")?;
    row.as_ref().map(from_row).transpose()?.ok_or_else(|| Error::not_found("folder", id))
}

const LOCK: &str = "
    select id, workspace_id, parent_id, name, metadata, created_at, updated_at from folders
    where id = $1 and deleted_at is null for no key update";

/// A live folder that nobody else changes until the transaction ends.
pub(super) async fn lock(transaction: &impl Sql, id: FolderId) -> Result<Folder> {
    let row = transaction.query_opt(LOCK, &[&id]).await.context("locking a folder")?;
    row.as_ref().map(from_row).transpose()?.ok_or_else(|| Error::not_found("folder", id))
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

const DEPTH: &str = "
    with recursive ancestors as (
        select parent_id, 1 as depth from folders where id = $1
        union all
        select folder.parent_id, depth + 1 from ancestors join folders folder on folder.id = ancestors.parent_id
        where depth <= 100
    )
    select count(*) as depth from ancestors";

/// How many folders there are from the workspace's top to this one.
pub(super) async fn depth(transaction: &impl Sql, id: FolderId) -> Result<i64> {
    transaction.query_one(DEPTH, &[&id]).await.context("measuring a folder's depth")?.column("depth")
}

const LIST: &str = "
    select id, workspace_id, parent_id, name, metadata, created_at, updated_at from folders
    where deleted_at is null and id > $1 order by id limit $2";

/// Live folders in the order of their making, after `after`.
pub(super) async fn list(tenant: &impl Sql, after: Uuid, limit: i64) -> Result<Vec<Folder>> {
    let rows = tenant.query(LIST, &[&after, &limit]).await.context("listing folders")?;
    rows.iter().map(from_row).collect()
}

const LIST_OF_WORKSPACE: &str = "
    select id, workspace_id, parent_id, name, metadata, created_at, updated_at from folders
    where workspace_id = $3 and deleted_at is null and id > $1 order by id limit $2";

/// Live folders of a workspace.
pub(super) async fn list_of_workspace(
    tenant: &impl Sql,
    workspace: WorkspaceId,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Folder>> {
    let rows = tenant.query(LIST_OF_WORKSPACE, &[&after, &limit, &workspace]).await.context("listing folders")?;
    rows.iter().map(from_row).collect()
}

const LIST_TOP: &str = "
    select id, workspace_id, parent_id, name, metadata, created_at, updated_at from folders
    where workspace_id = $3 and parent_id is null and deleted_at is null and id > $1 order by id limit $2";

/// Live folders at the top of a workspace.
pub(super) async fn list_top(
    tenant: &impl Sql,
    workspace: WorkspaceId,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Folder>> {
    let rows = tenant.query(LIST_TOP, &[&after, &limit, &workspace]).await.context("listing top folders")?;
    rows.iter().map(from_row).collect()
}

const LIST_IN: &str = "
    select id, workspace_id, parent_id, name, metadata, created_at, updated_at from folders
    where parent_id = $3 and deleted_at is null and id > $1 order by id limit $2";

/// Live folders directly in a folder.
pub(super) async fn list_in(tenant: &impl Sql, parent: FolderId, after: Uuid, limit: i64) -> Result<Vec<Folder>> {
    let rows = tenant.query(LIST_IN, &[&after, &limit, &parent]).await.context("listing inner folders")?;
    rows.iter().map(from_row).collect()
}

const UPDATE: &str = "
    update folders set name = $2, name_normalized = $3, parent_id = $4, metadata = $5 where id = $1
    returning id, workspace_id, parent_id, name, metadata, created_at, updated_at";

/// Writes everything that can change.
pub(super) async fn update(transaction: &impl Sql, folder: &Folder) -> Result<Folder> {
    let name: &ItemName = &folder.name;
    let row = transaction
        .query_one(UPDATE, &[&folder.id, &name.as_str(), &name.normalized(), &folder.parent_id, &folder.metadata])
        .await;
    from_row(&explained(row).context("changing a folder")?)
}

const TREE: &str = "
    with recursive tree as (
        select id from folders where id = $1
        union all
        select folder.id from tree join folders folder on folder.parent_id = tree.id where folder.deleted_at is null
    )
    select id from tree";

/// A folder and all those in it.
pub(super) async fn tree(transaction: &impl Sql, id: FolderId) -> Result<Vec<FolderId>> {
    let rows = transaction.query(TREE, &[&id]).await.context("walking a folder")?;
    rows.iter().map(|row| row.column("id")).collect()
}

const DELETE: &str = "update folders set deleted_at = now() where id = any($1) and deleted_at is null";
const DELETE_FILES: &str = "update files set deleted_at = now() where folder_id = any($1) and deleted_at is null";

/// Deletes folders and the files in them.
pub(super) async fn delete(transaction: &impl Sql, folders: &[FolderId]) -> Result<()> {
    transaction.execute(DELETE_FILES, &[&folders]).await.context("deleting the files of folders")?;
    transaction.execute(DELETE, &[&folders]).await.context("deleting folders")?;
    Ok(())
}
