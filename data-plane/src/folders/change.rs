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
use crate::changes::{Change, Verb, apply, apply_once};
use crate::idempotency::Request;
use crate::state::AppState;
use crate::trees::{self, Root, Task};
use crate::{jobs, workspaces};

const CREATE: &str = "POST /v1/folders";
/// What goes to another workspace takes each folder and file in it along, in one transaction.
const MOST_MOVED: usize = 10_000;

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

/// Changes what the body names. One row changes however much lies in the folder, unless it goes to another workspace.
pub(super) async fn change(
    state: &AppState,
    caller: &Caller,
    id: FolderId,
    condition: &IfMatch,
    body: ChangeFolder,
) -> Result<Answer> {
    apply(state, caller, async |change| {
        let seen = store::find(change, id).await?.workspace_id;
        workspaces::store::lock_both(change, seen, body.workspace().unwrap_or(seen)).await?;
        let before = store::lock(change, id).await?;
        if before.workspace_id != seen {
            return Err(Error::unavailable("the folder was moved to another workspace meanwhile"));
        }
        condition.check(&etag(&before))?;
        let mut wanted = before.clone();
        body.apply(&mut wanted)?;
        let moves = (wanted.workspace_id, wanted.parent_id) != (before.workspace_id, before.parent_id);
        if moves {
            trees::check_move(change, id, wanted.workspace_id != before.workspace_id).await?;
        }
        if let Some(parent) = wanted.parent_id.filter(|_| moves) {
            store::hold(change, parent, wanted.workspace_id).await?;
        }
        if wanted.workspace_id != before.workspace_id {
            carry_charge(change, &before, &wanted).await?;
        }
        let after = store::update(change, &wanted).await?;
        change.record(Verb::Changed, id).await?;
        let etag = etag(&after);
        Ok(Answer::ok(&etag, &FolderView::from(after)))
    })
    .await
}

/// What is in the folder is charged to the workspace that it goes to; the rows themselves follow by their foreign keys.
async fn carry_charge(change: &Change<'_>, before: &Folder, wanted: &Folder) -> Result<()> {
    let too_many = || {
        let detail = format!("holds more than {MOST_MOVED} folders and files: move what is in it in parts");
        Error::invalid_field("/workspace_id", detail)
    };
    let folders = store::inside(change, before.id, MOST_MOVED + 1).await?;
    let room = MOST_MOVED.checked_sub(folders.len()).ok_or_else(too_many)?;
    if store::count_files(change, &folders, room + 1).await? > room {
        return Err(too_many());
    }
    let size = store::size(change, &folders).await?;
    workspaces::store::transfer(change, before.workspace_id, wanted.workspace_id, size).await
}

/// Deletes a folder with everything in it: at once for whoever looks, and where that is much, by a job.
pub(super) async fn delete(state: &AppState, caller: &Caller, id: FolderId, condition: &IfMatch) -> Result<Answer> {
    apply(state, caller, async |change| {
        let workspace = store::find(change, id).await?.workspace_id;
        workspaces::store::lock(change, workspace).await?;
        let folder = store::lock(change, id).await?;
        condition.check(&etag(&folder))?;
        store::delete(change, id).await?;
        change.record(Verb::Deleted, id).await?;
        match trees::begin(change, Root::Folder(id), Task::Delete).await? {
            None => Ok(Answer::no_content()),
            Some(job) => jobs::accepted(change, job).await,
        }
    })
    .await
}
