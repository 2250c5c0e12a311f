//! Changing what is known about a file, deleting and restoring it.
//!
//! Locks are taken in one order: workspaces by id, then folder, then file.

use rowhouse_domain::FileId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{IdempotencyKey, IfMatch};

use super::model::{ChangeFile, File};
use super::views::{FileView, etag};
use super::{store, versions};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::{Change, Verb, apply, apply_once};
use crate::idempotency::Request;
use crate::state::AppState;
use crate::{folders, workspaces};

/// Changes what the body names.
pub(super) async fn change(
    state: &AppState,
    caller: &Caller,
    id: FileId,
    condition: &IfMatch,
    body: ChangeFile,
) -> Result<Answer> {
    let wish = body.parse()?;
    apply(state, caller, async |change| {
        let seen = store::find(change, id).await?;
        workspaces::store::lock_both(change, seen.workspace_id, wish.workspace().unwrap_or(seen.workspace_id)).await?;
        let before = store::lock(change, id).await?;
        if before.workspace_id != seen.workspace_id {
            return Err(Error::unavailable("the file was moved to another workspace meanwhile"));
        }
        condition.check(&etag(&before))?;
        let mut wanted = before.clone();
        wish.apply(&mut wanted);
        let after = write(change, &before, &wanted).await?;
        change.record(Verb::Changed, id).await?;
        let etag = etag(&after);
        Ok(Answer::ok(&etag, &FileView::from(after)))
    })
    .await
}

async fn write(change: &Change<'_>, before: &File, wanted: &File) -> Result<File> {
    if wanted.workspace_id != before.workspace_id {
        let size = versions::store::total_size(change, before.id).await?;
        workspaces::store::transfer(change, before.workspace_id, wanted.workspace_id, size).await?;
    }
    if let Some(folder) = wanted.folder_id.filter(|_| wanted.folder_id != before.folder_id) {
        folders::store::hold(change, folder, wanted.workspace_id).await?;
    }
    store::update(change, wanted).await
}

/// Deletes a file softly: it keeps its versions and what they use until it is purged.
pub(super) async fn delete(state: &AppState, caller: &Caller, id: FileId, condition: &IfMatch) -> Result<()> {
    apply(state, caller, async |change| {
        let file = store::lock(change, id).await?;
        condition.check(&etag(&file))?;
        store::delete(change, id).await?;
        change.record(Verb::Deleted, id).await
    })
    .await
}

/// Brings a deleted file back: to its folder, or to the top of its workspace where the folder is gone.
pub(super) async fn restore(state: &AppState, caller: &Caller, id: FileId, key: &IdempotencyKey) -> Result<Answer> {
    let route = format!("POST /v1/files/{id}/restore");
    apply_once(state, &Request::new(caller, &route, key, &id), async |change| {
        let workspace = store::find_workspace(change, id).await?;
        if let Some(workspace) = workspace {
            // Before the file: whoever changes several locks their workspaces first. No upload gives its name away meanwhile.
            workspaces::store::lock(change, workspace).await?;
        }
        let Some(file) = store::lock_deleted(change, id).await? else {
            // Tells a live file from none at all.
            store::find(change, id).await?;
            return Err(Error::new(Code::InvalidTransition, "The file is not deleted."));
        };
        if Some(file.workspace_id) != workspace {
            return Err(Error::unavailable("the file was moved to another workspace meanwhile"));
        }
        let folder = match file.folder_id {
            Some(folder) => match folders::store::hold(change, folder, file.workspace_id).await {
                Ok(()) => Some(folder),
                Err(error) if error.code() == Code::NotFound => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        let restored = store::restore(change, id, folder).await?;
        change.record(Verb::Restored, id).await?;
        let etag = etag(&restored);
        Ok(Answer::ok(&etag, &FileView::from(restored)))
    })
    .await
}
