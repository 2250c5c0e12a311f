//! Running statements and reading their answers in tests.

use rowhouse_database::{AdminConnection, Tls, quote_ident};
use rowhouse_testkit::{OwnDatabase, TestCluster};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// The first column of every row as text.
pub(crate) async fn texts(connection: &AdminConnection, sql: &str) -> Vec<String> {
    let rows = connection.query(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows.iter().map(|row| row.try_get::<_, String>(0).unwrap()).collect()
}

/// The first column of the only row.
pub(crate) async fn number(connection: &AdminConnection, sql: &str) -> i64 {
    let rows = connection.query(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows[0].try_get(0).unwrap()
}

/// Runs statements that must succeed.
pub(crate) async fn run(connection: &AdminConnection, sql: &str) {
    connection.run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// Runs statements that must be refused, and gives the SQLSTATE.
pub(crate) async fn refused(connection: &AdminConnection, sql: &str) -> SqlState {
    let error = connection.run(sql).await.expect_err(sql);
    error.sqlstate().unwrap_or_else(|| panic!("{sql}: {error:?}")).clone()
}

/// An empty database with what its source has; dropped with the value.
pub(crate) async fn empty_database(source: &str) -> OwnDatabase {
    let name = format!("test_{}", Uuid::now_v7().simple());
    let admin = TestCluster::get().admin("postgres").await;
    run(
        &admin,
        &format!("create database {} owner rowhouse_owner template {}", quote_ident(&name), quote_ident(source)),
    )
    .await;
    run(&admin, &format!("grant connect on database {} to rowhouse_control", quote_ident(&name))).await;
    OwnDatabase { name }
}

/// As migrations are run: logged in as `rowhouse_control`, acting as the owner of one schema.
pub(crate) async fn as_owner(database: &str, schema: &str) -> AdminConnection {
    let connection = AdminConnection::open(&TestCluster::get().control(), database, &Tls::Disabled).await.unwrap();
    run(&connection, &format!("set role rowhouse_owner; set search_path = {schema}, extensions, pg_temp")).await;
    connection
}
