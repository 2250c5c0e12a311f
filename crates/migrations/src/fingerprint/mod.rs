//! What a schema is made of, as its catalog has it: compared with what its migrations should have made of it.
//!
//! The same for every placement and every session. Of another major version of PostgreSQL it may differ, which spells some
//! expressions in another way: compare what lies on one server, or on two of the same version.

mod difference;
mod glance;
mod inspect;
mod repair;

use std::collections::BTreeMap;

use postgres_protocol::escape::escape_identifier;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::{Error, transaction};

pub use difference::{Difference, difference};
pub use glance::{Glance, glance};
pub use inspect::{Inspection, inspect};
pub use repair::{Repair, repair};

const CATALOG: &str = include_str!("catalog.sql");
/// Whatever a session or a login may have set that shows in how an expression is spelled. And no time spent on planning joins
/// that are written in a good order.
const SETTINGS: &str = "
    set transaction isolation level repeatable read, read only;
    set local datestyle = 'ISO, YMD'; set local intervalstyle = 'postgres'; set local timezone = 'UTC';
    set local quote_all_identifiers = off; set local extra_float_digits = 1; set local bytea_output = 'hex';
    set local standard_conforming_strings = on; set local lc_monetary = 'C';
    set local jit = off; set local join_collapse_limit = 1; set local from_collapse_limit = 1";

/// All of a schema, and one word for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// SHA-256 over all entries, in hexadecimal.
    pub hash: String,
    /// By kind and name.
    pub entries: Vec<Entry>,
}

/// An object of a schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// `table`, `column`, `constraint`, `index`, `policy`, `trigger`, `rule`, `view`, `sequence`, `function`, `type`,
    /// `statistics` or `grant`; `migration` in a history.
    pub kind: String,
    /// Its name within the schema: `files.name`, `search_items_text(q text, …)`, `table files to tenant_app`.
    pub name: String,
    /// What it is.
    pub definition: String,
}

impl Fingerprint {
    /// Of these entries, in whichever order they come.
    pub fn of(mut entries: Vec<Entry>) -> Self {
        entries.sort();
        let mut hasher = Sha256::new();
        for Entry { kind, name, definition } in &entries {
            for part in [kind, name, definition] {
                // With their lengths, so that no two lists run together into the same bytes.
                hasher.update(part.len().to_be_bytes());
                hasher.update(part);
            }
        }
        Self { hash: hex::encode(hasher.finalize()), entries }
    }

    /// The same with further entries.
    #[must_use]
    pub fn with(&self, further: impl IntoIterator<Item = Entry>) -> Self {
        Self::of(self.entries.iter().cloned().chain(further).collect())
    }
}

/// Reads a schema's fingerprint in one round trip, as a role that may use the schema and `extensions`.
///
/// # Errors
/// Where there is no such schema or the role may not use it, and where the server does not answer.
pub async fn fingerprint(client: &Client, schema: &str) -> Result<Fingerprint, Error> {
    // Without temporary tables at its end: the role need not be one that may make any.
    let path = format!("set local search_path = {}, extensions", escape_identifier(schema));
    let messages = transaction::query(client, &[SETTINGS, &path, CATALOG])
        .await
        .map_err(Error::database("reading the catalog of a schema"))?;
    let rows = messages
        .iter()
        .filter_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(entry(row)) } else { None });
    let (schemas, entries): (Vec<Entry>, Vec<Entry>) = rows.partition(|entry| entry.kind == "schema");
    // Where the role may not use it, another one of the search path is the current one.
    if schemas.first().is_none_or(|found| found.name != schema) {
        return Err(Error::NoSchema);
    }
    Ok(Fingerprint::of(entries))
}

const FUNCTIONS: &str = "
    select format('%s(%s)', proname, pg_get_function_identity_arguments(oid)), pg_get_functiondef(oid),
        format('%I.', current_schema())
    from pg_proc where pronamespace = (select oid from pg_namespace where nspname = current_schema())
        and prokind in ('f', 'p')";

/// The statements that make a schema's functions, by their names in its fingerprint. They name no schema: the path is taken
/// from where they are run.
///
/// # Errors
/// As [`fingerprint`].
pub async fn functions(client: &Client, schema: &str) -> Result<BTreeMap<String, String>, Error> {
    let path = format!("set local search_path = {}, extensions", escape_identifier(schema));
    let messages = transaction::query(client, &[SETTINGS, &path, FUNCTIONS])
        .await
        .map_err(Error::database("reading the functions of a schema"))?;
    let mut functions = BTreeMap::new();
    for message in &messages {
        if let SimpleQueryMessage::Row(row) = message {
            let Entry { kind: name, name: statement, definition: schema } = entry(row);
            let plain = statement.replacen(&schema, "", 1);
            let lines = plain.lines().map(|line| {
                if line.starts_with(" SET search_path TO ") { " SET search_path FROM CURRENT" } else { line }
            });
            functions.insert(name, lines.collect::<Vec<_>>().join("\n"));
        }
    }
    Ok(functions)
}

fn entry(row: &SimpleQueryRow) -> Entry {
    let column = |index| row.get(index).unwrap_or_default().to_owned();
    Entry { kind: column(0), name: column(1), definition: column(2) }
}
