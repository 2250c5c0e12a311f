//! Making, changing and deleting workspaces: what spans more than one statement.

use rowhouse_domain::{AccountId, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{IdempotencyKey, IfMatch};
use tracing::Instrument;

use super::model::{ChangeWorkspace, CreateWorkspace, NewWorkspace, Workspace};
use super::store;
use super::views::{WorkspaceView, etag};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::{Change, LEASE, Verb, apply};
use crate::idempotency::{self, Claim, Request};
use crate::quota;
use crate::state::AppState;
use crate::work::{self, NewJob};

const CREATE: &str = "POST /v1/workspaces";

/// Makes a workspace, in a task of its own: the organization counts it before it is made, and a client that goes away in
/// between must not leave it counted.
pub(super) async fn create(
    state: &AppState,
    caller: &Caller,
    key: &IdempotencyKey,
    body: CreateWorkspace,
) -> Result<Answer> {
    let (state, caller, key) = (state.clone(), caller.clone(), key.clone());
    let task = async move { count_and_make(&state, &caller, &key, body).await };
    tokio::spawn(task.in_current_span()).await.map_err(Error::internal)?
}

async fn count_and_make(
    state: &AppState,
    caller: &Caller,
    key: &IdempotencyKey,
    body: CreateWorkspace,
) -> Result<Answer> {
    let request = Request::new(caller, CREATE, key, &body);
    let new = NewWorkspace::parse(body, &state.settings.versions)?;
    check_account(state, caller, new.account).await?;
    work::mark(&state.platform.get().await?, caller.tenant()).await?;

    let mut connection = caller.connection(state).await?;
    let change = Change::begin(&mut connection, caller.actor()).await?;
    let ticket = match idempotency::claim(&change, &request, LEASE).await? {
        Claim::Replay(answer) => return Ok(answer),
        Claim::Fresh(ticket) => ticket,
    };
    if let Some(parent) = new.parent {
        store::lock(&change, parent).await?;
    }
    quota::reserve_workspace(&state.platform, caller.tenant()).await?;
    let made = async {
        let workspace = store::insert(&change, &new, change.actor()).await?;
        change.record(Verb::Made, workspace.id).await?;
        let answer = created(workspace);
        if let Some(ticket) = ticket {
            ticket.complete(&change, &answer).await?;
        }
        Ok(answer)
    };
    let answer = match made.await {
        Ok(answer) => answer,
        Err(error) => {
            uncount(state, caller).await;
            return Err(error);
        }
    };
    // Past this the outcome may be unknown, and a count too many is the lesser evil.
    change.commit().await?;
    state.nudge.tenant(caller.tenant());
    Ok(answer)
}

async fn uncount(state: &AppState, caller: &Caller) {
    if let Err(error) = quota::release_workspace(&state.platform, caller.tenant()).await {
        tracing::warn!(error = error.chain(), "a workspace that was not made stays counted");
    }
}

fn created(workspace: Workspace) -> Answer {
    let (location, etag) = (format!("/v1/workspaces/{}", workspace.id), etag(&workspace));
    Answer::created(location, &etag, &WorkspaceView::from(workspace))
}

async fn check_account(state: &AppState, caller: &Caller, account: Option<AccountId>) -> Result<()> {
    let Some(account) = account else { return Ok(()) };
    let platform = state.platform.get().await?;
    if store::is_account_of(&platform, account, caller.tenant()).await? {
        return Ok(());
    }
    Err(Error::not_found("account", account))
}

/// Changes what the body names.
pub(super) async fn change(
    state: &AppState,
    caller: &Caller,
    id: WorkspaceId,
    condition: &IfMatch,
    body: ChangeWorkspace,
) -> Result<Answer> {
    check_account(state, caller, body.new_account()).await?;
    apply(state, caller, async |change| {
        let before = store::lock(change, id).await?;
        condition.check(&etag(&before))?;
        let mut wanted = before.clone();
        body.apply(&mut wanted)?;
        if wanted.parent_workspace_id != before.parent_workspace_id {
            move_to(change, &wanted).await?;
        }
        let after = store::update(change, &wanted).await?;
        change.record(Verb::Changed, id).await?;
        let rules = |workspace: &Workspace| (workspace.keep_versions, workspace.keep_versions_days);
        if rules(&after) != rules(&before) {
            work::enqueue(change, &NewJob::prune_workspace(id)).await?;
        }
        let etag = etag(&after);
        Ok(Answer::ok(&etag, &WorkspaceView::from(after)))
    })
    .await
}

async fn move_to(change: &Change<'_>, wanted: &Workspace) -> Result<()> {
    if let Some(parent) = wanted.parent_workspace_id {
        if parent == wanted.id {
            return Err(Error::new(Code::MoveIntoItself, "A workspace can't be its own parent."));
        }
        // At once as strong as the move's own trigger needs it: two moves into one parent would wait for each other.
        store::lock(change, parent).await?;
    }
    store::relocate(change, wanted.id, wanted.parent_workspace_id, &wanted.name).await?;
    Ok(())
}

/// Deletes a workspace with everything in it, in one transaction. Contents are kept until they are purged.
pub(super) async fn delete(state: &AppState, caller: &Caller, id: WorkspaceId, condition: &IfMatch) -> Result<()> {
    apply(state, caller, async |change| {
        let workspace = store::lock(change, id).await?;
        condition.check(&etag(&workspace))?;
        let deleted = store::delete_tree(change, &workspace.workspace_path).await?;
        store::delete_contents(change, &deleted).await?;
        change.uncount_workspaces(deleted.len()).await?;
        change.record(Verb::Deleted, id).await
    })
    .await
}
