//! Platform table `stock_databases`. Owns its SQL; decides nothing.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{ClusterId, TenantId};
use rowhouse_problem::Result;
use tokio_postgres::Row;

/// A database that waits, or that was just taken.
#[derive(Debug, Clone)]
pub(crate) struct Stocked {
    pub(crate) id: TenantId,
    pub(crate) database: String,
    pub(crate) schema_version: i32,
    pub(crate) is_ready: bool,
    /// Nobody has worked on it for minutes.
    pub(crate) is_forgotten: bool,
}

const TAKE: &str = "
    update stock_databases stock set is_taken = true
    from (
        select id from stock_databases where cluster_id = $1 and schema_version = $2 and is_ready and not is_taken
        order by id limit 1 for update skip locked) free
    where stock.id = free.id returning stock.id";

/// Takes one of a cluster, and with it the id that its tenant gets; none where none is ready.
pub(crate) async fn take(tx: &impl Sql, cluster: ClusterId, version: i32) -> Result<Option<TenantId>> {
    let row = tx.query_opt(TAKE, &[&cluster, &version]).await.context("taking a database from the stock")?;
    row.map(|row| row.column("id")).transpose()
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, database_name, schema_version, is_ready, updated_at < now() - interval '2 minutes' as is_forgotten
            from stock_databases ",
            $rest
        )
    };
}

const FIND_TAKEN: &str = select!("where id = $1 and is_taken");

/// What a tenant took.
pub(crate) async fn find_taken(db: &impl Sql, id: TenantId) -> Result<Option<Stocked>> {
    let row = db.query_opt(FIND_TAKEN, &[&id]).await.context("looking for what was taken from the stock")?;
    row.as_ref().map(from_row).transpose()
}

const FREE: &str = select!("where cluster_id = $1 and not is_taken order by id");

/// What waits on a cluster, ready or not.
pub(crate) async fn list_free(db: &impl Sql, cluster: ClusterId) -> Result<Vec<Stocked>> {
    let rows = db.query(FREE, &[&cluster]).await.context("listing the stock")?;
    rows.iter().map(from_row).collect()
}

const INSERT: &str =
    "insert into stock_databases (id, cluster_id, database_name, schema_version) values ($1, $2, $3, $4)";

/// Records one that is going to be made.
pub(super) async fn insert(
    db: &impl Sql,
    id: TenantId,
    cluster: ClusterId,
    database: &str,
    version: i32,
) -> Result<()> {
    db.execute(INSERT, &[&id, &cluster, &database, &version]).await.context("recording a stock database").map(drop)
}

const SET_READY: &str = "update stock_databases set is_ready = true where id = $1";

/// Gives one free to be taken.
pub(super) async fn set_ready(db: &impl Sql, id: TenantId) -> Result<()> {
    db.execute(SET_READY, &[&id]).await.context("giving a stock database free").map(drop)
}

const CLOSE: &str = "update stock_databases set is_ready = false where id = $1 and not is_taken returning id";

/// Keeps one from being taken; false where it was.
pub(super) async fn withdraw(db: &impl Sql, id: TenantId) -> Result<bool> {
    Ok(db.query_opt(CLOSE, &[&id]).await.context("withdrawing a stock database")?.is_some())
}

const DELETE: &str = "delete from stock_databases where id = $1";

/// Forgets one.
pub(super) async fn delete(db: &impl Sql, id: TenantId) -> Result<()> {
    db.execute(DELETE, &[&id]).await.context("forgetting a stock database").map(drop)
}

const DELETE_USED: &str = "
    delete from stock_databases stock using tenants
    where stock.is_taken and tenants.id = stock.id and tenants.status in ('active', 'inactive', 'suspended')";

/// Forgets those that have become tenants'.
pub(super) async fn delete_used(db: &impl Sql) -> Result<u64> {
    db.execute(DELETE_USED, &[]).await.context("forgetting used stock")
}

const ABANDONED: &str = select!(
    "where cluster_id = $1 and is_taken
        and exists (select from tenants where tenants.id = stock_databases.id and status in ('deleted', 'purged'))
    order by id"
);

/// What tenants of a cluster took that were deleted: perhaps before it had their names, under which a purge looks for it.
pub(super) async fn list_abandoned(db: &impl Sql, cluster: ClusterId) -> Result<Vec<Stocked>> {
    let rows = db.query(ABANDONED, &[&cluster]).await.context("listing abandoned stock")?;
    rows.iter().map(from_row).collect()
}

fn from_row(row: &Row) -> Result<Stocked> {
    Ok(Stocked {
        id: row.column("id")?,
        database: row.column("database_name")?,
        schema_version: row.column("schema_version")?,
        is_ready: row.column("is_ready")?,
        is_forgotten: row.column("is_forgotten")?,
    })
}
