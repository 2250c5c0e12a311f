//! Migrations that PostgreSQL lets run only outside a transaction, such as `create index concurrently`.
//!
//! Between the statement and its row of the history a runner can die. So the statement must be one that can be repeated, and
//! an index that a try has left invalid is dropped before the next.

use std::time::Duration;

use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::concurrently::ConcurrentIndex;
use crate::error::Database;
use crate::patience::Patience;
use crate::session::in_milliseconds;
use crate::{Error, Migration, Options, transaction};

/// It waits for others without keeping anybody waiting. How long it may take in all is what any statement may.
const SET_LIMIT: &str = "select set_config('lock_timeout', $1, false)";
const FIND_INVALID: &str = "
    select exists (
        select from pg_catalog.pg_index index
        join pg_catalog.pg_class class on class.oid = index.indexrelid
        join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
        where class.relname = $1 and namespace.nspname = current_schema() and not index.indisvalid)";

/// Runs the migration's one statement, then records it.
pub(crate) async fn apply(
    client: &Client,
    migration: &Migration,
    options: &Options,
    patience: &mut Patience<'_>,
) -> Result<(), Error> {
    run(client, migration.sql(), migration.index.as_ref(), options, patience).await?;
    while let Err(error) = transaction::record(client, migration, "").await {
        patience.wait_after(error).await?;
    }
    Ok(())
}

/// Runs one statement outside a transaction, with limits of its own.
pub(crate) async fn run(
    client: &Client,
    sql: &str,
    index: Option<&ConcurrentIndex>,
    options: &Options,
    patience: &mut Patience<'_>,
) -> Result<(), Error> {
    patience.be_outside();
    set_limit(client, options.concurrent_timeout).await?;
    while let Err(error) = attempt(client, sql, index).await {
        patience.wait_after(error).await?;
    }
    set_limit(client, options.lock_timeout).await
}

async fn set_limit(client: &Client, lock_timeout: Duration) -> Result<(), Error> {
    let set = client.query_typed(SET_LIMIT, &[(&in_milliseconds(lock_timeout), Type::TEXT)]).await;
    set.map(drop).map_err(Error::database("setting the time limits"))
}

async fn attempt(client: &Client, sql: &str, index: Option<&ConcurrentIndex>) -> Result<(), Database> {
    if let Some(index) = index {
        let rows = client.query_typed(FIND_INVALID, &[(&index.name, Type::TEXT)]).await?;
        let is_invalid = rows.first().map(|row| row.try_get::<_, bool>(0)).transpose()?.unwrap_or(false);
        if is_invalid {
            tracing::info!(index = index.name, "an index that an earlier try left invalid is dropped");
            client.batch_execute(&format!("drop index concurrently {}", escape_identifier(&index.name))).await?;
        }
    }
    // Not as a simple query: the server refuses a second statement here.
    client.query_typed(sql, &[]).await?;
    Ok(())
}
