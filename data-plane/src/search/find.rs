//! Running a search: which modes need the question's vector, and which function answers.

use pgvector::Vector;
use rowhouse_database::Sql;
use rowhouse_problem::Result;

use super::model::{Hit, Mode, Search};
use super::store;
use crate::embed;

/// What the search finds, best first.
pub(super) async fn find(tenant: &impl Sql, search: &Search) -> Result<Vec<Hit>> {
    // A question without a word has no direction; then only the words' own mode can find anything.
    let vector = || embed::embed(&search.query).map(Vector::from);
    match search.mode {
        Mode::Text => store::text(tenant, search).await,
        Mode::Fuzzy => store::fuzzy(tenant, search).await,
        Mode::Semantic => store::semantic(tenant, search, vector().as_ref()).await,
        Mode::Hybrid => store::hybrid(tenant, search, vector().as_ref()).await,
    }
}
