//! Tenant table `workspaces`. Owns its SQL; decides nothing.

use std::collections::HashMap;

use rowhouse_database::{Columns, Described, QueryError, Sql};
use rowhouse_domain::{Actor, ItemName, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use tokio_postgres::Row;
use uuid::Uuid;

use super::model::{NewWorkspace, Room, VersionRules, Workspace, WorkspaceType};

/// With what uploads have added and is not in its row yet.
macro_rules! columns {
    () => {
        "id, name, account_id, unique_identifier, storage_quota, used_storage + coalesce((
            select sum(bytes)::bigint from workspace_counters counter
            where counter.tenant_id = workspaces.tenant_id and counter.workspace_id = workspaces.id), 0) as used_storage,
        keep_versions, keep_versions_days, workspace_type, parent_workspace_id, workspace_path, tags, metadata, settings,
        created_at, updated_at, deleted_at, deleted_with"
    };
}

fn from_row(row: &Row) -> Result<Workspace> {
    let name: &str = row.column("name")?;
    Ok(Workspace {
        id: row.column("id")?,
        name: ItemName::parse(name).map_err(Error::internal)?,
        account_id: row.column("account_id")?,
        unique_identifier: row.column("unique_identifier")?,
        storage_quota: row.column("storage_quota")?,
        used_storage: row.column("used_storage")?,
        keep_versions: row.column("keep_versions")?,
        keep_versions_days: row.column("keep_versions_days")?,
        workspace_type: WorkspaceType::from_text(row.column("workspace_type")?)?,
        parent_workspace_id: row.column("parent_workspace_id")?,
        workspace_path: row.column("workspace_path")?,
        tags: row.column("tags")?,
        metadata: row.column("metadata")?,
        created_at: row.column("created_at")?,
        updated_at: row.column("updated_at")?,
        settings: row.column("settings")?,
        deleted_at: row.column("deleted_at")?,
        deleted_with: row.column("deleted_with")?,
    })
}

const INSERT: &str = concat!(
    "
    insert into workspaces (id, name, name_normalized, account_id, unique_identifier, storage_quota, workspace_type,
        parent_workspace_id, tags, metadata, keep_versions, keep_versions_days, settings, created_by_kind,
        created_by)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    returning ",
    columns!()
);

/// Records a new workspace.
pub(super) async fn insert(tenant: &impl Sql, new: &NewWorkspace, actor: Actor) -> Result<Workspace> {
    let row = tenant
        .query_one(
            INSERT,
            &[
                &new.id,
                &new.name.as_str(),
                &new.name.normalized(),
                &new.account,
                &new.unique_identifier,
                &new.storage_quota,
                &new.workspace_type.as_str(),
                &new.parent,
                &new.tags,
                &new.metadata,
                &new.keep_versions,
                &new.keep_versions_days,
                &new.settings,
                &actor.kind,
                &actor.id,
            ],
        )
        .await;
    from_row(&explained(row).context("inserting a workspace")?)
}

/// What the constraints of `workspaces` mean to a caller.
fn explained<T>(result: Result<T, QueryError>) -> Result<T, QueryError> {
    let invalid = |pointer: &'static str, detail: &'static str| move || Error::invalid_field(pointer, detail);
    result
        .on_constraint("workspaces_name_key", || {
            Error::new(Code::NameTaken, "A workspace of this name exists in the same place. Choose another name.")
        })
        .on_constraint("workspaces_unique_identifier_key", || {
            Error::new(Code::NameTaken, "Another workspace has this `unique_identifier`. Choose another.")
        })
        .on_constraint("workspaces_no_cycle_check", || {
            Error::new(Code::MoveIntoItself, "The workspace that it is to go to lies in it.")
        })
        .on_constraint("workspaces_workspace_path_check", invalid("/parent_workspace_id", "lies too deep already"))
}

const FIND: &str = concat!("select ", columns!(), " from workspaces where id = $1 and deleted_at is null");

/// A live workspace.
pub(super) async fn find(tenant: &impl Sql, id: WorkspaceId) -> Result<Option<Workspace>> {
    let row = tenant.query_opt(FIND, &[&id]).await.context("reading a workspace")?;
    row.as_ref().map(from_row).transpose()
}

const LOCK: &str = "select workspace_lock($1)";

/// Keeps workspaces, deleted or not, from being changed, or added to, until the transaction ends.
pub(crate) async fn lock_any(transaction: &impl Sql, ids: &[WorkspaceId]) -> Result<()> {
    transaction.execute(LOCK, &[&ids]).await.context("locking workspaces")?;
    Ok(())
}

/// The same for a live one.
pub(crate) async fn lock(transaction: &impl Sql, id: WorkspaceId) -> Result<Workspace> {
    lock_any(transaction, &[id]).await?;
    find(transaction, id).await?.ok_or_else(|| Error::not_found("workspace", id))
}

/// The same for one live workspace or two.
pub(crate) async fn lock_both(transaction: &impl Sql, one: WorkspaceId, other: WorkspaceId) -> Result<()> {
    let both = if one == other { vec![one] } else { vec![one, other] };
    let rooms = lock_rooms(transaction, &both).await?;
    match both.iter().find(|id| !rooms.contains_key(id)) {
        Some(id) => Err(Error::not_found("workspace", *id)),
        None => Ok(()),
    }
}

const HOLD: &str = "select id from workspaces where id = $1 and deleted_at is null for share";

/// Keeps a live workspace from being deleted until the transaction ends.
pub(crate) async fn hold(transaction: &impl Sql, id: WorkspaceId) -> Result<()> {
    let row = transaction.query_opt(HOLD, &[&id]).await.context("holding a workspace")?;
    row.map(|_| ()).ok_or_else(|| Error::not_found("workspace", id))
}

const LIST: &str =
    concat!("select ", columns!(), " from workspaces where deleted_at is null and id > $1 order by id limit $2");

/// Live workspaces in the order of their making, after `after`.
pub(super) async fn list(tenant: &impl Sql, after: Uuid, limit: i64) -> Result<Vec<Workspace>> {
    let rows = tenant.query(LIST, &[&after, &limit]).await.context("listing workspaces")?;
    rows.iter().map(from_row).collect()
}

const LIST_IN: &str = concat!(
    "select ",
    columns!(),
    " from workspaces where parent_workspace_id = $3 and deleted_at is null and id > $1 order by id limit $2"
);

/// Live workspaces directly in `parent`.
pub(super) async fn list_in(tenant: &impl Sql, parent: WorkspaceId, after: Uuid, limit: i64) -> Result<Vec<Workspace>> {
    let rows = tenant.query(LIST_IN, &[&after, &limit, &parent]).await.context("listing inner workspaces")?;
    rows.iter().map(from_row).collect()
}

const LIST_TOP: &str = concat!(
    "select ",
    columns!(),
    " from workspaces where parent_workspace_id is null and deleted_at is null and id > $1 order by id limit $2"
);

/// Live workspaces that lie in none.
pub(super) async fn list_top(tenant: &impl Sql, after: Uuid, limit: i64) -> Result<Vec<Workspace>> {
    let rows = tenant.query(LIST_TOP, &[&after, &limit]).await.context("listing outermost workspaces")?;
    rows.iter().map(from_row).collect()
}

const UPDATE: &str = concat!(
    "
    update workspaces set name = $2, name_normalized = $3, account_id = $4, unique_identifier = $5, storage_quota = $6,
        workspace_type = $7, tags = $8, metadata = $9, keep_versions = $10, keep_versions_days = $11, settings = $12
    where id = $1
    returning ",
    columns!()
);

/// Writes everything but the place.
pub(super) async fn update(transaction: &impl Sql, workspace: &Workspace) -> Result<Workspace> {
    let row = transaction
        .query_one(
            UPDATE,
            &[
                &workspace.id,
                &workspace.name.as_str(),
                &workspace.name.normalized(),
                &workspace.account_id,
                &workspace.unique_identifier,
                &workspace.storage_quota,
                &workspace.workspace_type.as_str(),
                &workspace.tags,
                &workspace.metadata,
                &workspace.keep_versions,
                &workspace.keep_versions_days,
                &workspace.settings,
            ],
        )
        .await;
    from_row(&explained(row).context("changing a workspace")?)
}

const MOVE: &str = concat!(
    "
    update workspaces set parent_workspace_id = $2, name_normalized = $3 where id = $1
    returning ",
    columns!()
);

/// Puts a workspace elsewhere; what lies in it comes along. The name goes with it: it must be free where it goes.
pub(super) async fn relocate(
    transaction: &impl Sql,
    id: WorkspaceId,
    parent: Option<WorkspaceId>,
    name: &ItemName,
) -> Result<Workspace> {
    let row = transaction.query_one(MOVE, &[&id, &parent, &name.normalized()]).await;
    from_row(&explained(row).context("moving a workspace")?)
}

const LOCK_TREE: &str = "
    select workspace_lock(array(
        select id from workspaces where workspace_path >= $1 and workspace_path < $2 and deleted_at is null))";

/// Locks the workspace with this path and those in it.
pub(super) async fn lock_tree(transaction: &impl Sql, path: &str) -> Result<()> {
    transaction.execute(LOCK_TREE, &[&path, &past(path)]).await.context("locking workspaces")?;
    Ok(())
}

/// `0` follows `/`: everything that begins with the path lies between the two.
fn past(path: &str) -> String {
    format!("{}0", path.trim_end_matches('/'))
}

const DELETE_TREE: &str = "
    update workspaces set deleted_at = now(), deleted_with = case when id = $3 then null else $3 end
    where workspace_path >= $1 and workspace_path < $2 and deleted_at is null returning id";

/// Deletes the workspace with this path and those in it, and names them.
pub(super) async fn delete_tree(transaction: &impl Sql, root: WorkspaceId, path: &str) -> Result<Vec<WorkspaceId>> {
    let rows = transaction.query(DELETE_TREE, &[&path, &past(path), &root]).await.context("deleting workspaces")?;
    rows.iter().map(|row| row.column("id")).collect()
}

const HAS_FILES: &str = "select exists (select from files where workspace_id = $1 and deleted_at is null) as has_files";

/// Whether a file lies in the workspace, at any depth.
pub(super) async fn has_files(transaction: &impl Sql, id: WorkspaceId) -> Result<bool> {
    transaction.query_one(HAS_FILES, &[&id]).await.context("looking for files of a workspace")?.column("has_files")
}

const FIND_DELETED: &str = concat!("select ", columns!(), " from workspaces where id = $1 and deleted_at is not null");

/// A deleted workspace that nobody else changes until the transaction ends.
pub(super) async fn lock_deleted(transaction: &impl Sql, id: WorkspaceId) -> Result<Option<Workspace>> {
    lock_any(transaction, &[id]).await?;
    let row = transaction.query_opt(FIND_DELETED, &[&id]).await.context("locking a deleted workspace")?;
    row.as_ref().map(from_row).transpose()
}

const COUNT_WITH: &str = "select count(*)::integer as workspaces from workspaces where deleted_with = $1";

/// How many were deleted with this one.
pub(super) async fn count_with(transaction: &impl Sql, id: WorkspaceId) -> Result<i32> {
    transaction.query_one(COUNT_WITH, &[&id]).await.context("counting workspaces")?.column("workspaces")
}

const RESTORE: &str = concat!("select ", columns!(), " from workspace_restore($1, $2) workspaces");

/// Brings a workspace back into `parent`, with those that were deleted with it, but not yet with what lies in them.
pub(super) async fn restore(transaction: &impl Sql, id: WorkspaceId, parent: Option<WorkspaceId>) -> Result<Workspace> {
    let row = transaction.query_one(RESTORE, &[&id, &parent]).await;
    from_row(&explained(row).context("restoring a workspace")?)
}

const LIST_CHOSEN: &str = concat!("select ", columns!(), " from workspace_list($1, $2, $3, $4, $5, $6) workspaces");

/// Live workspaces with a tag or of a type, wherever or in a place.
pub(super) async fn list_chosen(
    tenant: &impl Sql,
    tag: Option<&str>,
    kind: Option<WorkspaceType>,
    parent: Option<Option<WorkspaceId>>,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Workspace>> {
    let (kind, is_top) = (kind.map(WorkspaceType::as_str), parent == Some(None));
    let rows = tenant
        .query(LIST_CHOSEN, &[&tag, &kind, &parent.flatten(), &is_top, &after, &limit])
        .await
        .context("listing workspaces")?;
    rows.iter().map(from_row).collect()
}

const TRASH: &str = concat!(
    "select ",
    columns!(),
    " from workspaces where deleted_at is not null and deleted_with is null and id > $1 order by id limit $2"
);

/// Deleted workspaces, without those that were deleted with them.
pub(super) async fn trash(tenant: &impl Sql, after: Uuid, limit: i64) -> Result<Vec<Workspace>> {
    let rows = tenant.query(TRASH, &[&after, &limit]).await.context("listing deleted workspaces")?;
    rows.iter().map(from_row).collect()
}

// Its row says all that it uses where there is a quota.
const ROOM: &str = "select storage_quota, used_storage from workspaces where id = $1 and deleted_at is null";

/// What a live workspace's quota leaves.
pub(crate) async fn room(tenant: &impl Sql, id: WorkspaceId) -> Result<Room> {
    let row = tenant.query_opt(ROOM, &[&id]).await.context("reading a workspace's quota")?;
    let row = row.ok_or_else(|| Error::not_found("workspace", id))?;
    Ok(Room { quota: row.column("storage_quota")?, used: row.column("used_storage")? })
}

const RULES: &str = "select keep_versions, keep_versions_days from workspaces where id = $1";

/// A workspace's rules for versions, where it has any.
pub(crate) async fn rules(tenant: &impl Sql, id: WorkspaceId) -> Result<Option<VersionRules>> {
    let row = tenant.query_opt(RULES, &[&id]).await.context("reading a workspace's rules")?;
    let Some(row) = row else { return Ok(None) };
    let rules = VersionRules {
        keep_versions: row.column("keep_versions")?,
        keep_versions_days: row.column("keep_versions_days")?,
    };
    Ok(Some(rules).filter(|rules| rules.keep_versions.is_some() || rules.keep_versions_days.is_some()))
}

const ROOMS: &str = "select id, storage_quota, used_storage from workspaces where id = any($1) and deleted_at is null";

/// What the quotas of live workspaces leave; nobody else changes or fills them until the transaction ends.
pub(crate) async fn lock_rooms(transaction: &impl Sql, ids: &[WorkspaceId]) -> Result<HashMap<WorkspaceId, Room>> {
    lock_any(transaction, ids).await?;
    let rows = transaction.query(ROOMS, &[&ids]).await.context("reading workspaces' quotas")?;
    rows.iter()
        .map(|row| {
            let room = Room { quota: row.column("storage_quota")?, used: row.column("used_storage")? };
            Ok((row.column("id")?, room))
        })
        .collect()
}

const SHIFT: &str = "
    update workspaces set used_storage = greatest(0, used_storage + shift.bytes)
    from unnest($1::uuid[], $2::bigint[]) shift (id, bytes) where workspaces.id = shift.id";

/// Adds to what locked workspaces use, deleted or not, or takes from it, after their rooms were looked at.
pub(crate) async fn shift(transaction: &impl Sql, shifts: &[(WorkspaceId, i64)]) -> Result<()> {
    let (ids, bytes): (Vec<WorkspaceId>, Vec<i64>) = shifts.iter().copied().unzip();
    transaction.execute(SHIFT, &[&ids, &bytes]).await.context("shifting what workspaces use")?;
    Ok(())
}

const CHARGE: &str = "select workspace_charge($1, $2, $3) as is_charged";

/// Adds to what a live workspace uses, exactly within its quota, for a file of this name. Until the transaction ends it is not
/// deleted, and nobody else gives a file the name.
pub(crate) async fn charge(transaction: &impl Sql, id: WorkspaceId, size: i64, name: &ItemName) -> Result<()> {
    let row = transaction.query_one(CHARGE, &[&id, &size, &name.normalized()]).await.context("charging a workspace")?;
    if row.column("is_charged")? {
        return Ok(());
    }
    let room = room(transaction, id).await?;
    room.check(size.unsigned_abs())?;
    Err(Error::unavailable("a workspace's quota changed meanwhile"))
}

/// Takes over what something uses that goes from one locked workspace to another, exactly within the quota of that.
pub(crate) async fn transfer(transaction: &impl Sql, from: WorkspaceId, to: WorkspaceId, bytes: i64) -> Result<()> {
    room(transaction, to).await?.check(bytes.unsigned_abs())?;
    shift(transaction, &[(from, -bytes), (to, bytes)]).await
}

const ACCOUNT: &str = "
    select account.id from accounts account join tenants tenant on tenant.id = $2
    where account.id = $1 and (account.tenant_id = $2
        or (account.tenant_id is null and account.organization_id = tenant.organization_id))";

/// Whether a storage account of `saas_platform` belongs to the tenant or its organization.
pub(super) async fn is_account_of(
    platform: &impl Sql,
    account: rowhouse_domain::AccountId,
    tenant: rowhouse_domain::TenantId,
) -> Result<bool> {
    let row = platform.query_opt(ACCOUNT, &[&account, &tenant]).await.context("looking for an account")?;
    Ok(row.is_some())
}
