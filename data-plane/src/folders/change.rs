//! Making, changing and deleting folders.
//!
//! Invariant: whatever changes the tree of a workspace holds the workspace's row, so it changes by one at a time.

use std::time::Duration;

use rowhouse_domain::FolderId;
use rowhouse_problem::{Error, Result};
use rowhouse_web::{IdempotencyKey, IfMatch, fingerprint};

use super::model::{ChangeFolder, CreateFolder, Folder, NewFolder};
use super::store;
use super::views::{FolderView, etag};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::idempotency::{self, Claim, Request};
use crate::state::AppState;
use crate::work::{self, NewJob};
use crate::workspaces;

const CREATE: &str = "POST /v1/folders";
/// Creations are one short transaction: whoever holds the key longer than this has died.
const LEASE: Duration = Duration::from_secs(60);
/// As the table's trigger has it for moves.
const MAX_DEPTH: i64 = 100;

/// Makes a folder.
pub(super) async fn create(
    state: &AppState,
    caller: &Caller,
    key: &IdempotencyKey,
    body: CreateFolder,
) -> Result<Answer> {
    let hash = fingerprint(CREATE, &body);
    let new = NewFolder::parse(body)?;
    work::mark(&state.platform.get().await?, caller.tenant()).await?;
    let mut connection = caller.connection(state).await?;
    let transaction = connection.transaction().await?;
    let request = Request { caller, route: CREATE, key, hash };
    let ticket = match idempotency::claim(&transaction, &request, LEASE).await? {
        Claim::Replay(answer) => return Ok(answer),
        Claim::Fresh(ticket) => ticket,
    };
    workspaces::store::hold(&transaction, new.workspace).await?;
    if let Some(parent) = new.parent {
        store::hold(&transaction, parent, new.workspace).await?;
        if store::depth(&transaction, parent).await? >= MAX_DEPTH {
            return Err(Error::invalid_field("/parent_id", "lies too deep already: folders lie at most 100 deep"));
        }
    }
    let folder = store::insert(&transaction, &new, caller.actor()).await?;
    work::enqueue(&transaction, &NewJob::index_folder(folder.id)).await?;
    let answer = created(folder);
    if let Some(ticket) = ticket {
        ticket.complete(&transaction, &answer).await?;
    }
    transaction.commit().await?;
    state.nudge.tenant(caller.tenant());
    Ok(answer)
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
    work::mark(&state.platform.get().await?, caller.tenant()).await?;
    let mut connection = caller.connection(state).await?;
    let transaction = connection.transaction().await?;
    // A folder never leaves its workspace, so what was read before its lock still holds.
    let workspace = store::find(&transaction, id).await?.workspace_id;
    workspaces::store::lock(&transaction, workspace).await?;
    let mut folder = store::lock(&transaction, id).await?;
    condition.check(&etag(&folder))?;
    let parent = folder.parent_id;
    body.apply(&mut folder)?;
    if let Some(new_parent) = folder.parent_id.filter(|_| folder.parent_id != parent) {
        store::hold(&transaction, new_parent, workspace).await?;
    }
    let after = store::update(&transaction, &folder).await?;
    work::enqueue(&transaction, &NewJob::index_folder(id)).await?;
    transaction.commit().await?;
    state.nudge.tenant(caller.tenant());
    let etag = etag(&after);
    Ok(Answer::ok(&etag, &FolderView::from(after)))
}

/// Deletes a folder with everything in it, in one transaction.
pub(super) async fn delete(state: &AppState, caller: &Caller, id: FolderId, condition: &IfMatch) -> Result<()> {
    let mut connection = caller.connection(state).await?;
    let transaction = connection.transaction().await?;
    let workspace = store::find(&transaction, id).await?.workspace_id;
    workspaces::store::lock(&transaction, workspace).await?;
    let folder = store::lock(&transaction, id).await?;
    condition.check(&etag(&folder))?;
    let folders = store::tree(&transaction, id).await?;
    store::delete(&transaction, &folders).await?;
    transaction.commit().await
}
