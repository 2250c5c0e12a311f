//! SQL of lists of folders.

use jiff::Timestamp;
use rowhouse_database::{Described, Parameters, Sql};
use rowhouse_domain::WorkspaceId;
use rowhouse_problem::Result;
use uuid::Uuid;

use super::super::model::{Folder, Order};
use super::super::store::from_row;
use super::{Place, Within};

macro_rules! folders {
    () => {
        "select id, workspace_id, parent_id, name, metadata, created_at, updated_at, deleted_at, deleted_with from folders
        where deleted_at is null and "
    };
}

macro_rules! in_workspace {
    () => {
        "workspace_id = $3 and "
    };
}

macro_rules! at_top {
    () => {
        "workspace_id = $3 and parent_id is null and "
    };
}

macro_rules! in_folder {
    () => {
        "parent_id = $3 and "
    };
}

macro_rules! id_up {
    () => {
        "id > $1 order by id limit $2"
    };
}

macro_rules! id_down {
    () => {
        "id < $1 order by id desc limit $2"
    };
}

const TENANT_UP: &str = concat!(folders!(), id_up!());
const TENANT_DOWN: &str = concat!(folders!(), id_down!());
const WORKSPACE_UP: &str = concat!(folders!(), in_workspace!(), id_up!());
const WORKSPACE_DOWN: &str = concat!(folders!(), in_workspace!(), id_down!());
const TOP_UP: &str = concat!(folders!(), at_top!(), id_up!());
const TOP_DOWN: &str = concat!(folders!(), at_top!(), id_down!());
const FOLDER_UP: &str = concat!(folders!(), in_folder!(), id_up!());
const FOLDER_DOWN: &str = concat!(folders!(), in_folder!(), id_down!());

/// In the order of their making.
pub(super) async fn by_id(
    tenant: &impl Sql,
    within: Within,
    order: Order,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Folder>> {
    let (up, down) = match within {
        Within::Tenant => (TENANT_UP, TENANT_DOWN),
        Within::Workspace(_) => (WORKSPACE_UP, WORKSPACE_DOWN),
        Within::Top(_) => (TOP_UP, TOP_DOWN),
        Within::Folder(_) => (FOLDER_UP, FOLDER_DOWN),
    };
    match within {
        Within::Tenant => read(tenant, of(order, up, down), &[&after, &limit]).await,
        Within::Workspace(id) | Within::Top(id) => read(tenant, of(order, up, down), &[&after, &limit, &id]).await,
        Within::Folder(id) => read(tenant, of(order, up, down), &[&after, &limit, &id]).await,
    }
}

macro_rules! name_up {
    () => {
        "(name_normalized, id) > ($4, $1) order by name_normalized, id limit $2"
    };
}

macro_rules! name_down {
    () => {
        "(name_normalized, id) < ($4, $1) order by name_normalized desc, id desc limit $2"
    };
}

const TOP_NAME_UP: &str = concat!(folders!(), at_top!(), name_up!());
const TOP_NAME_DOWN: &str = concat!(folders!(), at_top!(), name_down!());
const FOLDER_NAME_UP: &str = concat!(folders!(), in_folder!(), name_up!());
const FOLDER_NAME_DOWN: &str = concat!(folders!(), in_folder!(), name_down!());

/// By their names.
pub(super) async fn by_name(
    tenant: &impl Sql,
    place: Place,
    order: Order,
    name: &str,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Folder>> {
    match place {
        Place::Top(id) => read(tenant, of(order, TOP_NAME_UP, TOP_NAME_DOWN), &[&after, &limit, &id, &name]).await,
        Place::Folder(id) => {
            read(tenant, of(order, FOLDER_NAME_UP, FOLDER_NAME_DOWN), &[&after, &limit, &id, &name]).await
        }
    }
}

macro_rules! change_up {
    () => {
        "(updated_at, id) > ($4, $1) order by updated_at, id limit $2"
    };
}

macro_rules! change_down {
    () => {
        "(updated_at, id) < ($4, $1) order by updated_at desc, id desc limit $2"
    };
}

const TOP_CHANGE_UP: &str = concat!(folders!(), at_top!(), change_up!());
const TOP_CHANGE_DOWN: &str = concat!(folders!(), at_top!(), change_down!());
const FOLDER_CHANGE_UP: &str = concat!(folders!(), in_folder!(), change_up!());
const FOLDER_CHANGE_DOWN: &str = concat!(folders!(), in_folder!(), change_down!());

/// By their last change.
pub(super) async fn by_change(
    tenant: &impl Sql,
    place: Place,
    order: Order,
    time: Timestamp,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Folder>> {
    match place {
        Place::Top(id) => read(tenant, of(order, TOP_CHANGE_UP, TOP_CHANGE_DOWN), &[&after, &limit, &id, &time]).await,
        Place::Folder(id) => {
            read(tenant, of(order, FOLDER_CHANGE_UP, FOLDER_CHANGE_DOWN), &[&after, &limit, &id, &time]).await
        }
    }
}

const TRASH: &str = "
    select id, workspace_id, parent_id, name, metadata, created_at, updated_at, deleted_at, deleted_with from folders
    where deleted_at is not null and deleted_with is null and id > $1 order by id limit $2";
const TRASH_OF_WORKSPACE: &str = "
    select id, workspace_id, parent_id, name, metadata, created_at, updated_at, deleted_at, deleted_with from folders
    where deleted_at is not null and deleted_with is null and workspace_id = $3 and id > $1 order by id limit $2";

/// Deleted ones, without what was deleted with them.
pub(super) async fn trash(
    tenant: &impl Sql,
    workspace: Option<WorkspaceId>,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Folder>> {
    match workspace {
        None => read(tenant, TRASH, &[&after, &limit]).await,
        Some(workspace) => read(tenant, TRASH_OF_WORKSPACE, &[&after, &limit, &workspace]).await,
    }
}

fn of(order: Order, up: &'static str, down: &'static str) -> &'static str {
    match order {
        Order::Asc => up,
        Order::Desc => down,
    }
}

async fn read(tenant: &impl Sql, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Folder>> {
    let rows = tenant.query(sql, parameters).await.context("listing folders")?;
    rows.iter().map(from_row).collect()
}
