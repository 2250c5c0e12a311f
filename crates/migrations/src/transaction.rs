//! refinery's hands: what it wants to run goes to the server as one message, which is one transaction and one round trip.
//!
//! refinery is given one migration at a time, whose place in the history we have seen to, and writes the row. It would
//! otherwise make sure of its table and read all of it before each, in eleven round trips.

use refinery_core::AsyncMigrate;
use refinery_core::traits::r#async::{AsyncQuery, AsyncTransaction};
use tokio_postgres::Client;

use crate::error::Database;
use crate::history::TABLE;
use crate::{Error, Migration};

/// Before every statement of ours: positions in an error count from its beginning.
pub(crate) const BEGIN: &str = "begin;\n";
/// Behind a text that may end in a comment or lack its semicolon.
const NEXT: &str = "\n;\n";
const COMMIT: &str = "commit";

/// Makes the history table of a schema that has none, as refinery would.
pub(crate) async fn make_history(client: &Client) -> Result<(), Error> {
    let sql = <Client as AsyncMigrate>::assert_migrations_table_query(TABLE);
    client.batch_execute(&sql).await.map_err(Error::database("making the history of migrations"))
}

/// Applies a migration and records it, both or neither.
pub(crate) async fn apply(client: &Client, migration: &Migration) -> Result<(), Database> {
    let target = refinery::Target::Version(migration.number());
    hand_over(client, migration, target, "").await
}

/// Records a migration that is applied, and runs `also` with it.
pub(crate) async fn record(client: &Client, migration: &Migration, also: &str) -> Result<(), Database> {
    let target = refinery::Target::FakeVersion(migration.number());
    hand_over(client, migration, target, also).await
}

async fn hand_over(
    client: &Client,
    migration: &Migration,
    target: refinery::Target,
    also: &str,
) -> Result<(), Database> {
    let mut hands = Hands { client, also };
    let runner = refinery::Runner::new(std::slice::from_ref(&migration.inner)).set_target(target);
    let report = runner.run_async(&mut hands).await;
    report.map(drop).map_err(Database::from_refinery)
}

/// Runs statements as one message that is one transaction. After an error nothing of it is left, nor the transaction.
pub(crate) async fn run(client: &Client, statements: &[&str]) -> Result<(), tokio_postgres::Error> {
    let failed = match client.batch_execute(&one_message(statements)).await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    roll_back(client).await;
    Err(failed)
}

/// The same, for statements whose rows matter.
pub(crate) async fn query(
    client: &Client,
    statements: &[&str],
) -> Result<Vec<tokio_postgres::SimpleQueryMessage>, tokio_postgres::Error> {
    or_roll_back(client, &one_message(statements)).await
}

/// The same, with the transaction left open.
pub(crate) async fn begin_with(
    client: &Client,
    statements: &[&str],
) -> Result<Vec<tokio_postgres::SimpleQueryMessage>, tokio_postgres::Error> {
    or_roll_back(client, &format!("{BEGIN}{}", in_a_row(statements))).await
}

/// The same in a transaction that is open, which ends with it.
pub(crate) async fn end_with(
    client: &Client,
    statements: &[&str],
) -> Result<Vec<tokio_postgres::SimpleQueryMessage>, tokio_postgres::Error> {
    or_roll_back(client, &format!("{}{COMMIT}", in_a_row(statements))).await
}

async fn or_roll_back(
    client: &Client,
    message: &str,
) -> Result<Vec<tokio_postgres::SimpleQueryMessage>, tokio_postgres::Error> {
    let failed = match client.simple_query(message).await {
        Ok(messages) => return Ok(messages),
        Err(error) => error,
    };
    roll_back(client).await;
    Err(failed)
}

fn one_message(statements: &[&str]) -> String {
    format!("{BEGIN}{}{COMMIT}", in_a_row(statements))
}

fn in_a_row(statements: &[&str]) -> String {
    let mut message = String::new();
    for statement in statements.iter().filter(|statement| !statement.is_empty()) {
        message.push_str(statement);
        message.push_str(NEXT);
    }
    message
}

pub(crate) async fn roll_back(client: &Client) {
    if client.is_closed() {
        return;
    }
    // A commit that failed has ended the transaction itself; then this only earns a warning from the server.
    if let Err(error) = client.batch_execute("rollback").await {
        tracing::warn!(%error, "a migration's transaction was not rolled back by us");
    }
}

struct Hands<'a> {
    client: &'a Client,
    also: &'a str,
}

impl AsyncTransaction for Hands<'_> {
    type Error = tokio_postgres::Error;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(&mut self, queries: T) -> Result<usize, Self::Error> {
        let mut statements: Vec<&str> = queries.filter(|query| !query.is_empty()).collect();
        let count = statements.len();
        // What makes sure of the table: it is there.
        if count > 0 {
            statements.push(self.also);
            run(self.client, &statements).await?;
        }
        Ok(count)
    }
}

impl AsyncQuery<Vec<refinery::Migration>> for Hands<'_> {
    async fn query(&mut self, _: &str) -> Result<Vec<refinery::Migration>, Self::Error> {
        // The history has been read and compared.
        Ok(Vec::new())
    }
}

impl AsyncMigrate for Hands<'_> {
    fn assert_migrations_table_query(_: &str) -> String {
        String::new()
    }
}
