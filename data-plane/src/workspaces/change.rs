//! Making, changing and deleting workspaces: what spans more than one statement.

use std::time::Duration;

use rowhouse_database::{Sql, TenantTransaction};
use rowhouse_domain::{AccountId, WorkspaceId};
use rowhouse_problem::{Error, Result};
use rowhouse_web::{IdempotencyKey, IfMatch, fingerprint};
use tracing::Instrument;

use super::model::{ChangeWorkspace, CreateWorkspace, NewWorkspace, Workspace};
use super::store;
use super::views::{WorkspaceView, etag};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::idempotency::{self, Claim, Request};
use crate::quota;
use crate::state::AppState;
use crate::work::{self, NewJob, UsageEvent};

const CREATE: &str = "POST /v1/workspaces";
/// Creations are one short transaction: whoever holds the key longer than this has died.
const LEASE: Duration = Duration::from_secs(60);

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
    let hash = fingerprint(CREATE, &body);
    let new = NewWorkspace::parse(body)?;
    check_account(state, caller, new.account).await?;
    work::mark(&state.platform.get().await?, caller.tenant()).await?;

    let mut connection = caller.connection(state).await?;
    let transaction = connection.transaction().await?;
    let request = Request { caller, route: CREATE, key, hash };
    let ticket = match idempotency::claim(&transaction, &request, LEASE).await? {
        Claim::Replay(answer) => return Ok(answer),
        Claim::Fresh(ticket) => ticket,
    };
    if let Some(parent) = new.parent {
        store::lock(&transaction, parent).await?;
    }
    quota::reserve_workspace(&state.platform, caller.tenant()).await?;
    let made = async {
        let workspace = store::insert(&transaction, &new, caller.actor()).await?;
        work::enqueue(&transaction, &NewJob::index_workspace(workspace.id)).await?;
        let answer = created(workspace);
        if let Some(ticket) = ticket {
            ticket.complete(&transaction, &answer).await?;
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
    transaction.commit().await?;
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
    work::mark(&state.platform.get().await?, caller.tenant()).await?;
    let mut connection = caller.connection(state).await?;
    let transaction = connection.transaction().await?;
    let before = store::lock(&transaction, id).await?;
    condition.check(&etag(&before))?;
    let mut wanted = before.clone();
    body.apply(&mut wanted)?;
    if wanted.parent_workspace_id != before.parent_workspace_id {
        move_to(&transaction, &wanted).await?;
    }
    let after = store::update(&transaction, &wanted).await?;
    work::enqueue(&transaction, &NewJob::index_workspace(id)).await?;
    transaction.commit().await?;
    state.nudge.tenant(caller.tenant());
    let etag = etag(&after);
    Ok(Answer::ok(&etag, &WorkspaceView::from(after)))
}

async fn move_to(transaction: &TenantTransaction<'_>, wanted: &Workspace) -> Result<()> {
    if let Some(parent) = wanted.parent_workspace_id {
        if parent == wanted.id {
            return Err(Error::invalid_field("/parent_workspace_id", "must not be the workspace itself"));
        }
        // At once as strong as the move's own trigger needs it: two moves into one parent would wait for each other.
        store::lock(transaction, parent).await?;
    }
    store::relocate(transaction, wanted.id, wanted.parent_workspace_id, &wanted.name).await?;
    Ok(())
}

/// Deletes a workspace with everything in it, in one transaction. Contents are kept until they are purged.
pub(super) async fn delete(state: &AppState, caller: &Caller, id: WorkspaceId, condition: &IfMatch) -> Result<()> {
    work::mark(&state.platform.get().await?, caller.tenant()).await?;
    let mut connection = caller.connection(state).await?;
    let transaction = connection.transaction().await?;
    let workspace = store::lock(&transaction, id).await?;
    condition.check(&etag(&workspace))?;
    let deleted = store::delete_tree(&transaction, &workspace.workspace_path).await?;
    store::delete_contents(&transaction, &deleted).await?;
    report(&transaction, &deleted).await?;
    transaction.commit().await?;
    state.nudge.tenant(caller.tenant());
    Ok(())
}

/// The organization's count goes down by an event, so exactly once, also after a crash.
async fn report(transaction: &impl Sql, deleted: &[WorkspaceId]) -> Result<()> {
    let count = i64::try_from(deleted.len()).map_err(Error::internal)?;
    let event = UsageEvent {
        event_type: "workspaces".to_owned(),
        quantity: -count,
        unit: "workspaces".to_owned(),
        details: serde_json::Map::new(),
        reservation_id: None,
        account_id: None,
    };
    work::enqueue(transaction, &NewJob::usage(&event)).await
}
