//! Purging a deleted workspace before its time.

use rowhouse_domain::WorkspaceId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::IfMatch;

use super::model::Workspace;
use super::store;
use super::views::etag;
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::{Change, apply};
use crate::jobs;
use crate::state::AppState;
use crate::trees::{self, Root};

/// Has a deleted workspace purged now, with everything in it.
pub(super) async fn purge(state: &AppState, caller: &Caller, id: WorkspaceId, condition: &IfMatch) -> Result<Answer> {
    apply(state, caller, async |change| {
        condition.check(&etag(&lock(change, id).await?))?;
        let job = trees::begin_purge(change, Root::Workspace(id)).await?;
        jobs::accepted(change, job).await
    })
    .await
}

/// A deleted workspace that can be purged by itself, locked.
pub(crate) async fn lock(change: &Change<'_>, id: WorkspaceId) -> Result<Workspace> {
    let Some(workspace) = store::lock_deleted(change, id).await? else {
        // Tells a live workspace from none at all.
        store::find(change, id).await?.ok_or_else(|| Error::not_found("workspace", id))?;
        let detail = "Only what is deleted can be purged. Delete it first, without `purge`.";
        return Err(Error::new(Code::InvalidTransition, detail));
    };
    if workspace.deleted_with.is_some() {
        let detail = "The workspace was deleted with the one that it lies in. Purge that.";
        return Err(Error::new(Code::InvalidTransition, detail));
    }
    Ok(workspace)
}
