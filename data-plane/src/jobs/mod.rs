//! Long jobs, for those who wait for them. What they do is their own modules' business, and how they are run is `work`'s.

mod cancel;
pub mod model;
pub mod routes;
pub(crate) mod store;
mod views;

pub use views::JobView;

use rowhouse_database::Sql;
use rowhouse_domain::JobId;
use rowhouse_problem::Result;

use crate::answer::Answer;

/// The answer to a request whose work a job goes on with.
///
/// # Errors
/// Whatever the server says.
pub(crate) async fn accepted(transaction: &impl Sql, id: JobId) -> Result<Answer> {
    let view = store::find(transaction, id).await?;
    Ok(Answer::accepted(format!("/v1/jobs/{id}"), &view))
}
