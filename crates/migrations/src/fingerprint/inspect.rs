//! A look at a schema while no runner is in it.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::glance::Part;
use super::{CATALOG, Entry, Fingerprint, SETTINGS, entry, glance};
use crate::{Error, Set, history, session, transaction};

/// What was seen.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The newest migration that the schema's history has; none where that is empty.
    pub version: Option<u32>,
    /// The whole of it, as [`Migrations::history`](crate::Migrations::history) has that of a build.
    pub history: Vec<Entry>,
    /// The server's major version, which the spelling depends on.
    pub server: u32,
    /// What the schema is made of.
    pub fingerprint: Fingerprint,
    /// What a [`Glance`](super::Glance) has of it at the same moment.
    pub glance: Option<String>,
}

impl Inspection {
    /// What the schema is made of, and its history.
    pub fn whole(&self) -> Fingerprint {
        self.fingerprint.with(self.history.clone())
    }
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
    let (history, rare) = (history(schema), glance::statements(schema, true));
    let second = transaction::end_with(client, &[&history, &rare, CATALOG]).await.map_err(failed)?;
    let mut parts = glance::parts(&second);
    let catalog = parts.pop().map(|part| part.rows).unwrap_or_default();
    let (own, entries): (Vec<Entry>, Vec<Entry>) = catalog.into_iter().map(entry).partition(|one| one.kind == "schema");
    if own.first().is_none_or(|found| found.name != schema) {
        return Err(Error::NoSchema);
    }
    let history = parts.first();
    let version = history.and_then(version);
    let glance = glance::hash(&parts, schema);
    let history = history.map_or_else(Vec::new, |part| part.rows.iter().map(|row| applied(row)).collect());
    let server = lock.definition.parse::<u32>().unwrap_or(0) / 10_000;
    Ok(Some(Inspection { version, history, server, fingerprint: Fingerprint::of(entries), glance }))
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

/// All that a schema says was applied to it; when it was is its own affair.
pub(super) fn history(schema: &str) -> String {
    let table = format!("{}.{}", escape_identifier(schema), history::TABLE);
    format!("select version, coalesce(name, ''), coalesce(checksum, '') from {table} order by version")
}

/// The newest of it.
pub(super) fn version(history: &Part<'_>) -> Option<u32> {
    history.rows.last()?.get(0)?.parse().ok()
}

fn applied(row: &SimpleQueryRow) -> Entry {
    let column = |index| row.get(index).unwrap_or_default();
    history::entry(column(0), column(1), column(2))
}

pub(super) fn failed(error: tokio_postgres::Error) -> Error {
    Error::database("looking at a schema")(error)
}

fn rows(messages: &[SimpleQueryMessage]) -> impl Iterator<Item = Entry> {
    messages
        .iter()
        .filter_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(entry(row)) } else { None })
}
