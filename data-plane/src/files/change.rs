//! Changing what is known about a file, deleting and restoring it.
//!
//! Locks are taken in one order: workspaces by id, then folder, then file.

use std::time::Duration;

use rowhouse_database::TenantTransaction;
use rowhouse_domain::FileId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{IdempotencyKey, IfMatch};

use super::model::{ChangeFile, File};
use super::upload::Identity;
use super::views::{FileView, etag};
use super::{store, versions};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::idempotency::{self, Claim, Request};
use crate::state::AppState;
use crate::work::{self, NewJob};
use crate::{folders, workspaces};

/// One short transaction: whoever holds the key longer than this has died.
const LEASE: Duration = Duration::from_secs(60);

/// Changes what the body names.
pub(super) async fn change(
    state: &AppState,
    caller: &Caller,
    id: FileId,
    condition: &IfMatch,
    body: ChangeFile,
) -> Result<Answer> {
    work::mark(&state.platform.get().await?, caller.tenant()).await?;
    let mut connection = caller.connection(state).await?;
    let transaction = connection.transaction().await?;
    let seen = store::find(&transaction, id).await?;
    let mut places = vec![seen.workspace_id, body.workspace_id.unwrap_or(seen.workspace_id)];
    places.sort();
    places.dedup();
    for workspace in places {
        workspaces::store::lock(&transaction, workspace).await?;
    }
    let before = store::lock(&transaction, id).await?;
    if before.workspace_id != seen.workspace_id {
        return Err(Error::unavailable("the file was moved to another workspace meanwhile"));
    }
    condition.check(&etag(&before))?;
    let mut wanted = before.clone();
    body.apply(&mut wanted)?;
    let after = write(&transaction, &before, &wanted).await?;
    work::enqueue(&transaction, &NewJob::index_file(id)).await?;
    transaction.commit().await?;
    state.nudge.tenant(caller.tenant());
    let etag = etag(&after);
    Ok(Answer::ok(&etag, &FileView::from(after)))
}

async fn write(transaction: &TenantTransaction<'_>, before: &File, wanted: &File) -> Result<File> {
    if wanted.workspace_id != before.workspace_id {
        let size = versions::store::total_size(transaction, before.id).await?;
        workspaces::store::uncharge(transaction, before.workspace_id, size).await?;
        workspaces::store::charge(transaction, wanted.workspace_id, size).await?;
    }
    if let Some(folder) = wanted.folder_id.filter(|_| wanted.folder_id != before.folder_id) {
        folders::store::hold(transaction, folder, wanted.workspace_id).await?;
    }
    store::update(transaction, wanted).await
}

/// Deletes a file softly: it keeps its versions and what they use until it is purged.
pub(super) async fn delete(state: &AppState, caller: &Caller, id: FileId, condition: &IfMatch) -> Result<()> {
    let mut connection = caller.connection(state).await?;
    let transaction = connection.transaction().await?;
    let file = store::lock(&transaction, id).await?;
    condition.check(&etag(&file))?;
    store::delete(&transaction, id).await?;
    transaction.commit().await
}

/// Brings a deleted file back: to its folder, or to the top of its workspace where the folder is gone.
pub(super) async fn restore(state: &AppState, caller: &Caller, id: FileId, key: &IdempotencyKey) -> Result<Answer> {
    let route = format!("POST /v1/files/{id}/restore");
    let identity = Identity::new(&route, key, &id);
    work::mark(&state.platform.get().await?, caller.tenant()).await?;
    let mut connection = caller.connection(state).await?;
    let transaction = connection.transaction().await?;
    let request = Request { caller, route: identity.route, key, hash: identity.hash };
    let ticket = match idempotency::claim(&transaction, &request, LEASE).await? {
        Claim::Replay(answer) => return Ok(answer),
        Claim::Fresh(ticket) => ticket,
    };
    let Some(file) = store::lock_deleted(&transaction, id).await? else {
        // Tells a live file from none at all.
        store::find(&transaction, id).await?;
        return Err(Error::new(Code::InvalidTransition, "The file is not deleted."));
    };
    workspaces::store::hold(&transaction, file.workspace_id).await?;
    let folder = match file.folder_id {
        Some(folder) => match folders::store::hold(&transaction, folder, file.workspace_id).await {
            Ok(()) => Some(folder),
            Err(error) if error.code() == Code::NotFound => None,
            Err(error) => return Err(error),
        },
        None => None,
    };
    let restored = store::restore(&transaction, id, folder).await?;
    work::enqueue(&transaction, &NewJob::index_file(id)).await?;
    let etag = etag(&restored);
    let answer = Answer::ok(&etag, &FileView::from(restored));
    if let Some(ticket) = ticket {
        ticket.complete(&transaction, &answer).await?;
    }
    transaction.commit().await?;
    state.nudge.tenant(caller.tenant());
    Ok(answer)
}
