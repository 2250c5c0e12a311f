//! Purging a deleted folder before its time.

use rowhouse_domain::FolderId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::IfMatch;

use super::model::Folder;
use super::store;
use super::views::etag;
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::{Change, apply};
use crate::state::AppState;
use crate::trees::{self, Root};
use crate::{jobs, workspaces};

/// Has a deleted folder purged now, with everything in it.
pub(super) async fn purge(state: &AppState, caller: &Caller, id: FolderId, condition: &IfMatch) -> Result<Answer> {
    apply(state, caller, async |change| {
        condition.check(&etag(&lock(change, id).await?))?;
        let job = trees::begin_purge(change, Root::Folder(id)).await?;
        jobs::accepted(change, job).await
    })
    .await
}

/// A deleted folder that can be purged by itself, locked after its workspace.
pub(crate) async fn lock(change: &Change<'_>, id: FolderId) -> Result<Folder> {
    let workspace = store::workspace(change, id).await?;
    workspaces::store::lock_any(change, &[workspace]).await?;
    let Some(folder) = store::lock_deleted(change, id).await? else {
        // Tells a live folder from none at all.
        store::find(change, id).await?;
        let detail = "Only what is deleted can be purged. Delete it first, without `purge`.";
        return Err(Error::new(Code::InvalidTransition, detail));
    };
    if folder.workspace_id != workspace {
        return Err(Error::unavailable("the folder was moved to another workspace meanwhile"));
    }
    if folder.deleted_with.is_some() {
        let detail = "The folder was deleted with the one that it lies in, or with its workspace. Purge that.";
        return Err(Error::new(Code::InvalidTransition, detail));
    }
    Ok(folder)
}
