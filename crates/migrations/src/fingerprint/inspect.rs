//! A look at a schema while no runner is in it.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{CATALOG, Entry, Fingerprint, SETTINGS, entry};
use crate::{Error, Set, session, transaction};

/// What was seen.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The newest migration that the schema's history has; none where that is empty.
    pub version: Option<u32>,
    /// The server's major version, which the spelling depends on.
    pub server: u32,
    /// What the schema is made of.
    pub fingerprint: Fingerprint,
}

/// Whoever alters a table by hand is not waited for.
const PATIENCE: &str = "set local lock_timeout = '2s'";

/// Reads a schema's version and fingerprint in two round trips; none where a runner of the set is at work in it, which must
/// not be taken for a difference.
///
/// # Errors
/// As [`fingerprint`](super::fingerprint), and where the schema has no history.
pub async fn inspect(client: &Client, set: Set, schema: &str) -> Result<Option<Inspection>, Error> {
    let quoted = escape_identifier(schema);
    let path = format!("set local search_path = {quoted}, extensions");
    // Given back at the end of the transaction.
    let lock = format!(
        "select 'lock', pg_try_advisory_xact_lock(hashtextextended({}, {}))::text, current_setting('server_version_num')",
        escape_literal(schema),
        session::seed(set)
    );
    let version =
        format!("select 'version', coalesce(max(version)::text, ''), '' from {quoted}.refinery_schema_history");
    let first = transaction::begin_with(client, &[SETTINGS, PATIENCE, &path, &lock]).await.map_err(failed)?;
    let Some(lock) = rows(&first).next().filter(|lock| lock.name == "true") else {
        // Behind a runner that waits for a table, reading what that table is made of would wait as long.
        transaction::roll_back(client).await;
        return Ok(None);
    };
    let second = transaction::end_with(client, &[&version, CATALOG]).await.map_err(failed)?;
    let (mut version, mut is_there, mut entries) = (None, false, Vec::new());
    for one in rows(&second) {
        match one.kind.as_str() {
            "version" => version = one.name.parse().ok(),
            "schema" => is_there = one.name == schema,
            _ => entries.push(one),
        }
    }
    if !is_there {
        return Err(Error::NoSchema);
    }
    let server = lock.definition.parse::<u32>().unwrap_or(0) / 10_000;
    Ok(Some(Inspection { version, server, fingerprint: Fingerprint::of(entries) }))
}

fn failed(error: tokio_postgres::Error) -> Error {
    Error::database("looking at a schema")(error)
}

fn rows(messages: &[SimpleQueryMessage]) -> impl Iterator<Item = Entry> {
    messages
        .iter()
        .filter_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(entry(row)) } else { None })
}
