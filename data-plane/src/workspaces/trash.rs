//! What is done with deleted workspaces: purging them, and what restoring them has in common with that.

use rowhouse_database::Sql;
use rowhouse_domain::WorkspaceId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::IfMatch;

use super::model::Workspace;
use super::store;
use super::views::etag;
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::{Change, apply};
use crate::jobs;
use crate::state::AppState;
use crate::trees::{self, Root};

/// Has a deleted workspace purged now, with everything in it.
pub(super) async fn purge(state: &AppState, caller: &Caller, id: WorkspaceId, condition: &IfMatch) -> Result<Answer> {
    apply(state, caller, async |change| {
        condition.check(&etag(&lock_root(change, id).await?))?;
        let job = trees::begin_purge(change, Root::Workspace(id)).await?;
        jobs::accepted(change, job).await
    })
    .await
}

/// The deleted workspace, locked, and where it would go.
pub(super) async fn restorable(transaction: &impl Sql, id: WorkspaceId) -> Result<(Workspace, Option<WorkspaceId>)> {
    let workspace = lock(transaction, id).await?;
    trees::check_restore(transaction, Root::Workspace(id)).await?;
    check_is_root(&workspace)?;
    let parent = match workspace.parent_workspace_id {
        None => None,
        Some(parent) => match store::lock(transaction, parent).await {
            Ok(_) => Some(parent),
            Err(error) if error.code() == Code::NotFound => None,
            Err(error) => return Err(error),
        },
    };
    Ok((workspace, parent))
}

/// A workspace that was deleted by itself, locked.
pub(crate) async fn lock_root(change: &Change<'_>, id: WorkspaceId) -> Result<Workspace> {
    let workspace = lock(change, id).await?;
    check_is_root(&workspace)?;
    Ok(workspace)
}

async fn lock(transaction: &impl Sql, id: WorkspaceId) -> Result<Workspace> {
    if let Some(workspace) = store::lock_deleted(transaction, id).await? {
        return Ok(workspace);
    }
    // Tells a live workspace from none at all.
    store::find(transaction, id).await?.ok_or_else(|| Error::not_found("workspace", id))?;
    let detail = "Only what is deleted can be restored or purged. Delete it first, without `purge`.";
    Err(Error::new(Code::InvalidTransition, detail))
}

fn check_is_root(workspace: &Workspace) -> Result<()> {
    if workspace.deleted_with.is_none() {
        return Ok(());
    }
    let detail = "The workspace was deleted with the one that it lies in. Restore or purge that.";
    Err(Error::new(Code::InvalidTransition, detail))
}
