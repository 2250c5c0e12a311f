//! Copying a folder with what lies in it: another tree whose files share the contents.

use rowhouse_domain::FolderId;
use rowhouse_problem::{Error, Result};
use rowhouse_web::IdempotencyKey;

use super::model::{CopyFolder, NewFolder};
use super::store;
use super::views::{FolderView, etag};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::{Change, Verb};
use crate::files::room::apply_with_room;
use crate::idempotency::Request;
use crate::state::AppState;
use crate::trees::{self, CopyOrder, Outcome};
use crate::{jobs, workspaces};

/// Makes a new folder of another one.
pub(super) async fn copy(
    state: &AppState,
    caller: &Caller,
    id: FolderId,
    key: &IdempotencyKey,
    body: &CopyFolder,
) -> Result<Answer> {
    let route = format!("POST /v1/folders/{id}/copy");
    apply_with_room(
        state,
        &Request::new(caller, &route, key, body),
        async |tenant| {
            let source = store::find(tenant, id).await?;
            let new = body.place(&source)?;
            // Whatever is refused here reserves nothing.
            let room = workspaces::store::room(tenant, new.workspace).await?;
            let bytes = trees::measure(tenant, id).await?;
            room.check(bytes.unsigned_abs())?;
            Ok(((source, new, bytes), bytes))
        },
        async |change, (source, new, bytes), reservation| {
            workspaces::store::lock_both(change, source.workspace_id, new.workspace).await?;
            hold(change, id, source.workspace_id, &new).await?;
            let made = store::insert(change, &new, change.actor()).await?;
            change.record(Verb::Made, made.id).await?;
            let order = CopyOrder::new(caller.actor(), caller.account());
            match trees::begin_copy(change, id, made.id, &order, (reservation, bytes)).await? {
                Outcome::Job(job) => jobs::accepted(change, job).await,
                Outcome::Done => {
                    let (location, etag) = (format!("/v1/folders/{}", made.id), etag(&made));
                    Ok(Answer::created(location, &etag, &FolderView::from(made)))
                }
            }
        },
    )
    .await
}

/// Keeps the folder, and the one that its copy goes to, from being deleted until the transaction ends.
async fn hold(
    change: &Change<'_>,
    source: FolderId,
    workspace: rowhouse_domain::WorkspaceId,
    new: &NewFolder,
) -> Result<()> {
    let wanted: Vec<FolderId> = [Some(source), new.parent].into_iter().flatten().collect();
    let held = store::hold_all(change, &wanted).await?;
    if held.get(&source).is_some_and(|place| *place != workspace) {
        return Err(Error::unavailable("the folder was moved to another workspace meanwhile"));
    }
    if !held.contains_key(&source) {
        return Err(Error::not_found("folder", source));
    }
    match new.parent {
        Some(parent) if held.get(&parent) != Some(&new.workspace) => Err(Error::not_found("folder", parent)),
        _ => Ok(()),
    }
}
