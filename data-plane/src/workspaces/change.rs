//! Making, changing and deleting workspaces: what spans more than one statement.

use rowhouse_database::TenantTransaction;
use rowhouse_domain::{AccountId, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{IdempotencyKey, IfMatch};

use super::model::{ChangeWorkspace, CreateWorkspace, NewWorkspace, Workspace};
use super::store;
use super::trash::restorable;
use super::views::{WorkspaceView, etag};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::{Change, Verb, apply};
use crate::files::room;
use crate::idempotency::Request;
use crate::jobs;
use crate::state::AppState;
use crate::trees::{self, Root, Task};
use crate::work::{self, NewJob};

const CREATE: &str = "POST /v1/workspaces";

/// Which workspaces a deletion is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletable {
    /// Whatever lies in it.
    Any,
    /// One in which there is no file and no other workspace.
    Empty,
}

/// Makes a workspace. The organization counts it first.
pub(crate) async fn create(
    state: &AppState,
    caller: &Caller,
    key: &IdempotencyKey,
    body: CreateWorkspace,
) -> Result<Answer> {
    let request = Request::new(caller, CREATE, key, &body);
    let new = NewWorkspace::parse(body, &state.settings.versions)?;
    check_account(state, caller, new.account).await?;
    let measure = async |tenant: &TenantTransaction<'_>| {
        // Here only so that nothing is counted for what can't be made; it may go yet.
        if let Some(parent) = new.parent {
            store::find(tenant, parent).await?.ok_or_else(|| Error::not_found("workspace", parent))?;
        }
        Ok(((), 1))
    };
    let write = async |change: &Change<'_>, (), reservation| {
        if let Some(parent) = new.parent {
            store::lock(change, parent).await?;
        }
        let workspace = store::insert(change, &new, change.actor()).await?;
        change.record(Verb::Made, workspace.id).await?;
        change.count_workspaces(1, reservation).await?;
        Ok(created(workspace))
    };
    room::apply_with_workspaces(state, &request, measure, write).await
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
        // At once as strong as a move's own trigger needs it, and in the order in which everybody locks them.
        store::lock_both(change, id, body.new_parent().unwrap_or(id)).await?;
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
    if wanted.parent_workspace_id == Some(wanted.id) {
        return Err(Error::new(Code::MoveIntoItself, "A workspace can't be its own parent."));
    }
    store::relocate(change, wanted.id, wanted.parent_workspace_id, &wanted.name).await?;
    Ok(())
}

/// Deletes a workspace with everything in it: at once for whoever looks, and where that is much, by a job. Contents are kept
/// until they are purged.
pub(crate) async fn delete(
    state: &AppState,
    caller: &Caller,
    id: WorkspaceId,
    condition: &IfMatch,
    which: Deletable,
) -> Result<Answer> {
    apply(state, caller, async |change| {
        let seen = store::find(change, id).await?.ok_or_else(|| Error::not_found("workspace", id))?;
        store::lock_tree(change, &seen.workspace_path).await?;
        let workspace = store::lock(change, id).await?;
        if workspace.workspace_path != seen.workspace_path {
            return Err(Error::unavailable("the workspace was moved meanwhile"));
        }
        condition.check(&etag(&workspace))?;
        let deleted = store::delete_tree(change, id, &workspace.workspace_path).await?;
        // Also those that came into it after the first lock. Nobody is adding to them any more when what lies in them is deleted.
        store::lock_any(change, &deleted).await?;
        if which == Deletable::Empty && (deleted.len() > 1 || store::has_files(change, id).await?) {
            return Err(Error::new(Code::NotEmpty, "The workspace is not empty. Delete what lies in it first."));
        }
        change.uncount_workspaces(deleted.len()).await?;
        change.record(Verb::Deleted, id).await?;
        match trees::begin(change, Root::Workspace(id), Task::Delete).await? {
            None => Ok(Answer::no_content()),
            Some(job) => jobs::accepted(change, job).await,
        }
    })
    .await
}

/// Brings a deleted workspace back with what was deleted with it: to where it was, or to the top where that is gone. The
/// organization counts them first.
pub(super) async fn restore(
    state: &AppState,
    caller: &Caller,
    id: WorkspaceId,
    key: &IdempotencyKey,
) -> Result<Answer> {
    let route = format!("POST /v1/workspaces/{id}/restore");
    let request = Request::new(caller, &route, key, &id);
    let measure = async |tenant: &TenantTransaction<'_>| {
        let (workspace, _) = restorable(tenant, id).await?;
        let count = 1 + store::count_with(tenant, workspace.id).await?;
        Ok((count, count))
    };
    let write = async |change: &Change<'_>, counted: i32, reservation| {
        let (workspace, parent) = restorable(change, id).await?;
        if 1 + store::count_with(change, workspace.id).await? != counted {
            return Err(Error::unavailable("what is restored has changed meanwhile"));
        }
        let workspace = store::restore(change, id, parent).await?;
        change.record(Verb::Restored, id).await?;
        change.count_workspaces(counted, reservation).await?;
        match trees::begin(change, Root::Workspace(id), Task::Restore).await? {
            None => Ok(Answer::ok(&etag(&workspace), &WorkspaceView::from(workspace))),
            Some(job) => jobs::accepted(change, job).await,
        }
    };
    room::apply_with_workspaces(state, &request, measure, write).await
}
