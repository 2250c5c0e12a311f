//! A look at a schema while no runner is in it.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{CATALOG, Entry, Fingerprint, SETTINGS, entry, glance};
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
    /// What a [`Glance`](super::Glance) has of it at the same moment.
    pub glance: Option<String>,
}

/// Whoever alters a table by hand is not waited for.
pub(super) const PATIENCE: &str = "set local lock_timeout = '2s'";

/// Reads a schema's version and fingerprint in two round trips; none where a runner of the set is at work in it, which must
/// not be taken for a difference.
///
/// # Errors
/// As [`fingerprint`](super::fingerprint), and where the schema has no history.
pub async fn inspect(client: &Client, set: Set, schema: &str) -> Result<Option<Inspection>, Error> {
    let path = format!("set local search_path = {}, extensions", escape_identifier(schema));
    let lock = lock(set, schema);
    let first = transaction::begin_with(client, &[SETTINGS, PATIENCE, &path, &lock]).await.map_err(failed)?;
    let Some(lock) = rows(&first).next().filter(|lock| lock.name == "true") else {
        // Behind a runner that waits for a table, reading what that table is made of would wait as long.
        transaction::roll_back(client).await;
        return Ok(None);
    };
    let (version, rare) = (version(schema), glance::statements(schema, true));
    let second = transaction::end_with(client, &[&version, &rare, CATALOG]).await.map_err(failed)?;
    let mut parts = glance::parts(&second);
    let catalog = parts.pop().map(|part| part.rows).unwrap_or_default();
    let (own, entries): (Vec<Entry>, Vec<Entry>) = catalog.into_iter().map(entry).partition(|one| one.kind == "schema");
    if own.first().is_none_or(|found| found.name != schema) {
        return Err(Error::NoSchema);
    }
    let version =
        parts.first().and_then(|part| part.rows.first()).and_then(|row| row.get(1)).and_then(|one| one.parse().ok());
    let glance = glance::hash(parts.get(1..).unwrap_or_default(), schema);
    let server = lock.definition.parse::<u32>().unwrap_or(0) / 10_000;
    Ok(Some(Inspection { version, server, fingerprint: Fingerprint::of(entries), glance }))
}

/// Given back at the end of the transaction. Shared: it keeps runners out, and is not to be had while one is in the schema, but two
/// who look don't take each other for one.
pub(super) fn lock(set: Set, schema: &str) -> String {
    format!(
        "select 'lock', pg_try_advisory_xact_lock_shared(hashtextextended({}, {}))::text, current_setting('server_version_num')",
        escape_literal(schema),
        session::seed(set)
    )
}

pub(super) fn version(schema: &str) -> String {
    let quoted = escape_identifier(schema);
    format!("select 'version', coalesce(max(version)::text, '') from {quoted}.refinery_schema_history")
}

pub(super) fn failed(error: tokio_postgres::Error) -> Error {
    Error::database("looking at a schema")(error)
}

fn rows(messages: &[SimpleQueryMessage]) -> impl Iterator<Item = Entry> {
    messages
        .iter()
        .filter_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(entry(row)) } else { None })
}
