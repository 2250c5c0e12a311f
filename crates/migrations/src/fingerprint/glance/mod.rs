//! A cheap word for what a schema is made of: a hash of the catalog's own rows, without anything that has to be put together
//! first. Where two of them are equal, so are the fingerprints; where they differ, the fingerprints may be equal all the same.
//!
//! Objects stand there by their names, since their numbers differ between databases.

mod names;
mod rows;
mod tree;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use sha2::{Digest, Sha256};
use tokio_postgres::{Client, SimpleColumn, SimpleQueryMessage, SimpleQueryRow};

use super::inspect::{PATIENCE, failed, history, lock, version};
use crate::{Error, Set, transaction};
use names::Names;

const USUAL: &str = include_str!("usual.sql");
/// What few schemas have.
const RARE: &str = include_str!("rare.sql");
/// What a session may have set that shows in the text of a row.
const SETTINGS: &str = "
    set transaction isolation level repeatable read, read only;
    set local extra_float_digits = 1; set local bytea_output = 'hex'";

/// What was seen.
#[derive(Debug, Clone)]
pub struct Glance {
    /// The newest migration that the schema's history has; none where that is empty.
    pub version: Option<u32>,
    /// The server's major version.
    pub server: u32,
    /// SHA-256 in hexadecimal. None where it would say too little: something stands there by a number that has no name here.
    pub hash: Option<String>,
}

/// Reads it in one round trip; none where a runner of the set is at work in the schema.
///
/// # Errors
/// As [`inspect`](super::inspect).
pub async fn glance(client: &Client, set: Set, schema: &str) -> Result<Option<Glance>, Error> {
    let seen = look(client, set, schema, false).await?;
    match seen {
        Some(Seen { has_more: true, .. }) => Ok(look(client, set, schema, true).await?.map(|seen| seen.glance)),
        seen => Ok(seen.map(|seen| seen.glance)),
    }
}

struct Seen {
    glance: Glance,
    /// It has something of what few have, and that was not read.
    has_more: bool,
}

async fn look(client: &Client, set: Set, schema: &str, is_whole: bool) -> Result<Option<Seen>, Error> {
    let (lock, history, rows) = (lock(set, schema), history(schema), statements(schema, is_whole));
    let answer = transaction::query(client, &[SETTINGS, PATIENCE, &lock, &history, &rows]).await.map_err(failed)?;
    let parts = parts(&answer);
    let Some((lock, parts)) = parts.split_first() else { return Ok(None) };
    let Some(lock) = lock.rows.first() else { return Ok(None) };
    if lock.get(1) != Some("true") {
        return Ok(None);
    }
    let server = lock.get(2).and_then(|number| number.parse::<u32>().ok()).unwrap_or(0) / 10_000;
    let Some((history, catalog)) = parts.split_first() else { return Ok(None) };
    let has_more = !is_whole && rows::has_more(catalog);
    Ok(Some(Seen { glance: Glance { version: version(history), server, hash: hash(parts, schema) }, has_more }))
}

/// The statements whose answers are hashed.
pub(super) fn statements(schema: &str, is_whole: bool) -> String {
    let namespace = format!("{}::regnamespace", escape_literal(&escape_identifier(schema)));
    // Where others' schemas lie beside it, reading all that there is would be more than looking up what is its own.
    let own = match schema {
        "public" => "> 16383".to_owned(),
        _ => format!("= any (array(select oid from pg_class where relnamespace = {namespace}))"),
    };
    let head = format!(
        "select {namespace}::oid, quote_ident(current_user)::regrole::oid, to_regrole('tenant_app')::oid,
            has_schema_privilege({namespace}, 'usage'), pg_has_role(to_regrole('tenant_app')::oid, 'member'), current_user"
    );
    let rows = USUAL.replace("{namespace}", &namespace).replace("{own}", &own);
    let rare = RARE.replace("{namespace}", &namespace).replace("{own}", &own);
    if is_whole { format!("{head};\n{rows};\n{rare}") } else { format!("{head};\n{rows}") }
}

/// The answer to one statement.
pub(super) struct Part<'a> {
    pub(super) columns: &'a [SimpleColumn],
    pub(super) rows: Vec<&'a SimpleQueryRow>,
}

/// The answers to those that give rows.
pub(super) fn parts(answer: &[SimpleQueryMessage]) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    for message in answer {
        match (message, parts.last_mut()) {
            (SimpleQueryMessage::RowDescription(columns), _) => parts.push(Part { columns, rows: Vec::new() }),
            (SimpleQueryMessage::Row(row), Some(part)) => part.rows.push(row),
            _ => {}
        }
    }
    parts
}

/// One word for the history and for all rows of the catalog, in whichever order those come.
pub(super) fn hash(parts: &[Part<'_>], schema: &str) -> Option<String> {
    let (history, parts) = parts.split_first()?;
    let (head, catalogs) = parts.split_first()?;
    let names = Names::of(head, catalogs)?;
    let owner = head.rows.first()?.get(5)?;
    let mut rows = rows::spelled(catalogs, &names, owner, schema)?;
    rows.sort_unstable();
    let applied = history.rows.iter().flat_map(|row| (0..3).map(|index| row.get(index).unwrap_or_default()));
    let mut hasher = Sha256::new();
    for part in applied.map(str::as_bytes).chain(rows.iter().map(String::as_bytes)) {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part);
    }
    Some(hex::encode(hasher.finalize()))
}
