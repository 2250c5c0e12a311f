//! Running statements and reading their answers in tests.

use rowhouse_database::AdminConnection;
use tokio_postgres::error::SqlState;

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
