//! The statements that stores may run, the same on a connection and inside a transaction.

use std::future::Future;

use postgres_types::{FromSql, ToSql};
use rowhouse_problem::{Error, Result};
use tokio_postgres::Row;

use crate::error::QueryError;

/// Parameters of a statement, in order.
pub type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Something that runs prepared statements. The text is `'static`: no statement is built from input.
pub trait Sql: Send + Sync {
    /// All rows.
    fn query(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> impl Future<Output = Result<Vec<Row>, QueryError>> + Send;

    /// The number of rows that were touched.
    fn execute(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> impl Future<Output = Result<u64, QueryError>> + Send;

    /// The only row, or none.
    fn query_opt(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> impl Future<Output = Result<Option<Row>, QueryError>> + Send {
        async move {
            let mut rows = self.query(sql, parameters).await?;
            match rows.len() {
                0 | 1 => Ok(rows.pop()),
                many => Err(QueryError::Unexpected(format!("{many} rows where one was expected"))),
            }
        }
    }

    /// The only row.
    fn query_one(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> impl Future<Output = Result<Row, QueryError>> + Send {
        async move {
            self.query_opt(sql, parameters)
                .await?
                .ok_or_else(|| QueryError::Unexpected("no row where one was expected".to_owned()))
        }
    }
}

/// Reading columns without the panics of `Row::get`.
pub trait Columns {
    /// The value of a column.
    ///
    /// # Errors
    /// Internal, where the column is missing or has another type: the statement and the code have drifted apart.
    fn column<'a, T: FromSql<'a>>(&'a self, name: &str) -> Result<T>;
}

impl Columns for Row {
    fn column<'a, T: FromSql<'a>>(&'a self, name: &str) -> Result<T> {
        self.try_get(name).map_err(|error| Error::internal(error).with("column", name))
    }
}
