//! Taking back what a job has begun.

use rowhouse_domain::JobId;
use rowhouse_problem::{Code, Error, Result};

use super::{accepted, store};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::apply;
use crate::state::AppState;
use crate::trees;

/// Has a job remove the copy that it makes.
pub(super) async fn cancel(state: &AppState, caller: &Caller, id: JobId) -> Result<Answer> {
    apply(state, caller, async |change| {
        // Tells one that can't be cancelled from none at all.
        store::find(change, id).await?;
        if !trees::cancel(change, id).await? {
            let detail = "Only a copy that is being made can be cancelled. A deletion is taken back by restoring.";
            return Err(Error::new(Code::InvalidTransition, detail));
        }
        accepted(change, id).await
    })
    .await
}
