//! The search functions of the tenant's database. They find live items of the connection's own tenant only.

use pgvector::Vector;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_problem::{Error, Result};
use tokio_postgres::Row;

use super::model::{Hit, Kind, Search};
use crate::embed::MODEL;

const TEXT: &str = "
    select kind, id, name, workspace_id, folder_id, score, snippet from search_items_text($1, $2, $3, $4)";

/// By words.
pub(super) async fn text(tenant: &impl Sql, search: &Search) -> Result<Vec<Hit>> {
    let rows = tenant
        .query(TEXT, &[&search.query, &kinds(search), &search.workspace, &search.limit])
        .await
        .context("searching by words")?;
    rows.iter().map(hit).collect()
}

const FUZZY: &str = "
    select kind, id, name, workspace_id, folder_id, score, snippet from search_items_fuzzy($1, $2, $3, $4)";

/// By spelling.
pub(super) async fn fuzzy(tenant: &impl Sql, search: &Search) -> Result<Vec<Hit>> {
    let rows = tenant
        .query(FUZZY, &[&search.query, &kinds(search), &search.workspace, &search.limit])
        .await
        .context("searching by spelling")?;
    rows.iter().map(hit).collect()
}

const SEMANTIC: &str = "
    select kind, id, name, workspace_id, folder_id, score, snippet from search_items_semantic($1, $2, $3, $4, $5, $6)";

/// By likeness.
pub(super) async fn semantic(tenant: &impl Sql, search: &Search, vector: Option<&Vector>) -> Result<Vec<Hit>> {
    let rows = tenant
        .query(SEMANTIC, &[&search.query, &vector, &kinds(search), &search.workspace, &search.limit, &MODEL])
        .await
        .context("searching by likeness")?;
    rows.iter().map(hit).collect()
}

const HYBRID: &str = "
    select kind, id, name, workspace_id, folder_id, score, snippet from search_items_hybrid($1, $2, $3, $4, $5, $6)";

/// By words and likeness.
pub(super) async fn hybrid(tenant: &impl Sql, search: &Search, vector: Option<&Vector>) -> Result<Vec<Hit>> {
    let rows = tenant
        .query(HYBRID, &[&search.query, &vector, &kinds(search), &search.workspace, &search.limit, &MODEL])
        .await
        .context("searching by words and likeness")?;
    rows.iter().map(hit).collect()
}

fn kinds(search: &Search) -> Vec<&'static str> {
    search.kinds.iter().map(|kind| kind.as_str()).collect()
}

fn hit(row: &Row) -> Result<Hit> {
    let kind: &str = row.column("kind")?;
    Ok(Hit {
        kind: Kind::from_text(kind).ok_or_else(|| Error::internal(format!("search found a {kind:?}")))?,
        id: row.column("id")?,
        name: row.column("name")?,
        workspace: row.column("workspace_id")?,
        folder: row.column("folder_id")?,
        score: row.column("score")?,
        snippet: row.column("snippet")?,
    })
}
