//! What is done with deleted folders: restoring and purging them.

use rowhouse_domain::FolderId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{IdempotencyKey, IfMatch};

use super::model::Folder;
use super::store;
use super::views::{FolderView, etag};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::{Change, Verb, apply, apply_once};
use crate::idempotency::Request;
use crate::state::AppState;
use crate::trees::{self, Root, Task};
use crate::{jobs, workspaces};

/// Brings a deleted folder back with what was deleted with it: to where it was, or to the top of its workspace where that is
/// gone. What was deleted before it stays so.
pub(super) async fn restore(state: &AppState, caller: &Caller, id: FolderId, key: &IdempotencyKey) -> Result<Answer> {
    let route = format!("POST /v1/folders/{id}/restore");
    let request = Request::new(caller, &route, key, &id);
    apply_once(state, &request, async |change| {
        let folder = lock(change, id).await?;
        workspaces::store::lock(change, folder.workspace_id).await?;
        trees::check_restore(change, Root::Folder(id)).await?;
        check_is_root(&folder)?;
        let parent = match folder.parent_id {
            Some(parent) => {
                store::hold(change, parent, folder.workspace_id).await.map(|()| Some(parent)).or_else(gone)?
            }
            None => None,
        };
        let restored = store::restore(change, id, parent).await?;
        change.record(Verb::Restored, id).await?;
        match trees::begin(change, Root::Folder(id), Task::Restore).await? {
            None => Ok(Answer::ok(&etag(&restored), &FolderView::from(restored))),
            Some(job) => jobs::accepted(change, job).await,
        }
    })
    .await
}

fn gone(error: Error) -> Result<Option<FolderId>> {
    if error.code() == Code::NotFound { Ok(None) } else { Err(error) }
}

/// Has a deleted folder purged now, with everything in it.
pub(super) async fn purge(state: &AppState, caller: &Caller, id: FolderId, condition: &IfMatch) -> Result<Answer> {
    apply(state, caller, async |change| {
        condition.check(&etag(&lock_root(change, id).await?))?;
        let job = trees::begin_purge(change, Root::Folder(id)).await?;
        jobs::accepted(change, job).await
    })
    .await
}

/// A folder that was deleted by itself, locked after its workspace.
pub(crate) async fn lock_root(change: &Change<'_>, id: FolderId) -> Result<Folder> {
    let folder = lock(change, id).await?;
    check_is_root(&folder)?;
    Ok(folder)
}

async fn lock(change: &Change<'_>, id: FolderId) -> Result<Folder> {
    let workspace = store::workspace(change, id).await?;
    workspaces::store::lock_any(change, &[workspace]).await?;
    let Some(folder) = store::lock_deleted(change, id).await? else {
        // Tells a live folder from none at all.
        store::find(change, id).await?;
        let detail = "Only what is deleted can be restored or purged. Delete it first, without `purge`.";
        return Err(Error::new(Code::InvalidTransition, detail));
    };
    if folder.workspace_id != workspace {
        return Err(Error::unavailable("the folder was moved to another workspace meanwhile"));
    }
    Ok(folder)
}

fn check_is_root(folder: &Folder) -> Result<()> {
    if folder.deleted_with.is_none() {
        return Ok(());
    }
    let detail = "The folder was deleted with the one that it lies in, or with its workspace. Restore or purge that.";
    Err(Error::new(Code::InvalidTransition, detail))
}
