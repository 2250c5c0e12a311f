//! Platform table `group_databases`. Owns its SQL; decides nothing.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{ClusterId, GroupId, Isolation};
use rowhouse_problem::{Error, Result};
use tokio_postgres::Row;

/// A database that several tenants live in.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) cluster: ClusterId,
    pub(crate) isolation: Isolation,
    pub(crate) database: String,
    /// The login that its tenants share, where they do.
    pub(crate) role: Option<String>,
    pub(crate) credential_version: i32,
}

macro_rules! columns {
    () => {
        "group_database.id, group_database.cluster_id, group_database.isolation, group_database.database_name,
            group_database.role_name, group_database.credential_version"
    };
}

const FIND: &str = concat!("select ", columns!(), " from group_databases group_database where id = $1");

/// The group with an id.
pub(crate) async fn find(db: &impl Sql, id: GroupId) -> Result<Group> {
    let row = db.query_opt(FIND, &[&id]).await.context("reading a group database")?;
    from_row(&row.ok_or_else(|| Error::internal("the group database is not registered"))?)
}

const LIST: &str =
    concat!("select ", columns!(), " from group_databases group_database where cluster_id = $1 order by id");

/// The groups of a cluster.
pub(crate) async fn list(db: &impl Sql, cluster: ClusterId) -> Result<Vec<Group>> {
    let rows = db.query(LIST, &[&cluster]).await.context("listing group databases")?;
    rows.iter().map(from_row).collect()
}

const WITH_ROOM: &str = concat!(
    "select ",
    columns!(),
    " from group_databases group_database
    where cluster_id = $1 and isolation = $2 and is_ready and accepting
        and (select count(*) from tenants where group_id = group_database.id and status <> 'purged') < $3
    order by id limit 1 for update"
);

// A statement of its own sees what was decided while the lock was waited for.
const STILL_HAS_ROOM: &str =
    "select (select count(*) from tenants where group_id = $1 and status <> 'purged') < $2 as has_room";

/// A group that has room for one more, locked so that nobody else counts on the same room.
pub(crate) async fn lock_with_room(
    tx: &impl Sql,
    cluster: ClusterId,
    isolation: Isolation,
    size: i64,
) -> Result<Option<Group>> {
    const LOOKING: &str = "looking for a group with room";
    loop {
        let row = tx.query_opt(WITH_ROOM, &[&cluster, &isolation, &size]).await.context(LOOKING)?;
        let Some(group) = row.as_ref().map(from_row).transpose()? else { return Ok(None) };
        let row = tx.query_one(STILL_HAS_ROOM, &[&group.id, &size]).await.context(LOOKING)?;
        if row.column("has_room")? {
            return Ok(Some(group));
        }
    }
}

const UNFINISHED: &str = concat!(
    "select ",
    columns!(),
    " from group_databases group_database where cluster_id = $1 and isolation = $2 and not is_ready order by id limit 1"
);

/// One that somebody began to make and did not finish.
pub(super) async fn find_unfinished(db: &impl Sql, cluster: ClusterId, isolation: Isolation) -> Result<Option<Group>> {
    let row = db.query_opt(UNFINISHED, &[&cluster, &isolation]).await.context("looking for an unfinished group")?;
    row.as_ref().map(from_row).transpose()
}

const INSERT: &str = "
    insert into group_databases (id, cluster_id, isolation, database_name, role_name) values ($1, $2, $3, $4, $5)";

/// Records one that is going to be made.
pub(super) async fn insert(db: &impl Sql, group: &Group) -> Result<()> {
    db.execute(INSERT, &[&group.id, &group.cluster, &group.isolation, &group.database, &group.role])
        .await
        .context("recording a group database")
        .map(drop)
}

const SET_READY: &str = "update group_databases set is_ready = true, schema_version = $2 where id = $1";

/// Opens one to tenants.
pub(super) async fn set_ready(db: &impl Sql, id: GroupId, schema_version: i32) -> Result<()> {
    db.execute(SET_READY, &[&id, &schema_version]).await.context("opening a group database").map(drop)
}

const DELETE_UNFINISHED: &str = "delete from group_databases where id = $1 and not is_ready";

/// Forgets one that could not be made.
pub(super) async fn delete_unfinished(db: &impl Sql, id: GroupId) -> Result<()> {
    db.execute(DELETE_UNFINISHED, &[&id]).await.context("forgetting a group database").map(drop)
}

fn from_row(row: &Row) -> Result<Group> {
    Ok(Group {
        id: row.column("id")?,
        cluster: row.column("cluster_id")?,
        isolation: row.column("isolation")?,
        database: row.column("database_name")?,
        role: row.column("role_name")?,
        credential_version: row.column("credential_version")?,
    })
}
