//! Making, changing and deleting folders.
//!
//! Invariant: whatever changes the tree of a workspace holds the workspace's row, so it changes by one at a time.

use rowhouse_domain::FolderId;
use rowhouse_problem::{Error, Result};
use rowhouse_web::{IdempotencyKey, IfMatch};

use super::model::{ChangeFolder, CreateFolder, Folder, NewFolder};
use super::store;
use super::views::{FolderView, etag};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::{Verb, apply, apply_once};
use crate::idempotency::Request;
use crate::state::AppState;
use crate::workspaces;

const CREATE: &str = "POST /v1/folders";
/// As the table's trigger has it for moves.
const MAX_DEPTH: i64 = 100;

/// Makes a folder.
pub(super) async fn create(
    state: &AppState,
    caller: &Caller,
    key: &IdempotencyKey,
    body: CreateFolder,
) -> Result<Answer> {
    let request = Request::new(caller, CREATE, key, &body);
    let new = NewFolder::parse(body)?;
    apply_once(state, &request, async |change| {
        workspaces::store::hold(change, new.workspace).await?;
        if let Some(parent) = new.parent {
            store::hold(change, parent, new.workspace).await?;
            if store::depth(change, parent).await? >= MAX_DEPTH {
                return Err(Error::invalid_field("/parent_id", "lies too deep already: folders lie at most 100 deep"));
            }
        }
        let folder = store::insert(change, &new, change.actor()).await?;
        change.record(Verb::Made, folder.id).await?;
        Ok(created(folder))
    })
    .await
}

fn created(folder: Folder) -> Answer {
    let (location, etag) = (format!("/v1/folders/{}", folder.id), etag(&folder));
    Answer::created(location, &etag, &FolderView::from(folder))
}

/// Changes what the body names.
pub(super) async fn change(
    state: &AppState,
    caller: &Caller,
    id: FolderId,
    condition: &IfMatch,
    body: ChangeFolder,
) -> Result<Answer> {
    apply(state, caller, async |change| {
        // A folder never leaves its workspace, so what was read before its lock still holds.
        let workspace = store::find(change, id).await?.workspace_id;
        workspaces::store::lock(change, workspace).await?;
        let mut folder = store::lock(change, id).await?;
        condition.check(&etag(&folder))?;
        let parent = folder.parent_id;
        body.apply(&mut folder)?;
        if let Some(new_parent) = folder.parent_id.filter(|_| folder.parent_id != parent) {
            store::hold(change, new_parent, workspace).await?;
        }
        let after = store::update(change, &folder).await?;
        change.record(Verb::Changed, id).await?;
        let etag = etag(&after);
        Ok(Answer::ok(&etag, &FolderView::from(after)))
    })
    .await
}

/// Deletes a folder with everything in it, in one transaction.
pub(super) async fn delete(state: &AppState, caller: &Caller, id: FolderId, condition: &IfMatch) -> Result<()> {
    apply(state, caller, async |change| {
        let workspace = store::find(change, id).await?.workspace_id;
        workspaces::store::lock(change, workspace).await?;
        let folder = store::lock(change, id).await?;
        condition.check(&etag(&folder))?;
        let folders = store::tree(change, id).await?;
        store::delete(change, &folders).await?;
        change.record(Verb::Deleted, id).await
    })
    .await
}
