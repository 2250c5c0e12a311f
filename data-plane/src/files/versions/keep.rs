//! The rules of a workspace for versions: which stay, and the removal of the others behind the scenes.

use rowhouse_database::{ActivePlacement, Sql};
use rowhouse_domain::{FileId, WorkspaceId};
use rowhouse_problem::Result;

use super::{give_back, store};
use crate::changes::{Change, apply_in_background};
use crate::files::model::File;
use crate::files::store::{find_workspace, list_ids, lock_any};
use crate::work::{self, NewJob, WorkContext};
use crate::workspaces;

/// Files of a workspace that are looked up at once.
const FILES: i64 = 200;
/// Versions that go in one transaction, so that none takes long.
const VERSIONS: i64 = 100;

/// Has the rules seen to after a file has got a version, where there are any.
pub(in crate::files) async fn queue(change: &Change<'_>, file: &File) -> Result<()> {
    if workspaces::store::rules(change, file.workspace_id).await?.is_some() {
        work::enqueue(change, &NewJob::prune_file(file.id)).await?;
    }
    Ok(())
}

/// Has the rules of every workspace seen to: time alone makes versions superfluous.
pub(crate) async fn queue_all(tenant: &impl Sql) -> Result<u64> {
    store::queue_pruning(tenant).await
}

/// Removes a file's versions that no rule keeps. One that is gone is done with.
pub(crate) async fn prune_file(context: &WorkContext, placement: &ActivePlacement, file: FileId) -> Result<()> {
    loop {
        let removed = apply_in_background(context, placement, async |change| prune(change, file).await).await?;
        if i64::try_from(removed).is_ok_and(|removed| removed < VERSIONS) {
            return Ok(());
        }
    }
}

async fn prune(change: &Change<'_>, file: FileId) -> Result<usize> {
    let Some(workspace) = find_workspace(change, file).await? else { return Ok(0) };
    let Some(rules) = workspaces::store::rules(change, workspace).await? else { return Ok(0) };
    workspaces::store::lock_any(change, &[workspace]).await?;
    let locked = lock_any(change, &[file]).await?;
    // Moved meanwhile: its new workspace's rules are seen to when that is next.
    if locked.first().is_none_or(|file| file.workspace != workspace) {
        return Ok(0);
    }
    let superfluous = store::superfluous(change, file, rules, VERSIONS).await?;
    if superfluous.is_empty() {
        return Ok(0);
    }
    let removed = store::delete(change, file, &superfluous).await?;
    let count = removed.len();
    give_back(change, &[(workspace, removed)]).await?;
    Ok(count)
}

/// The same for every file of a workspace.
pub(crate) async fn prune_workspace(
    context: &WorkContext,
    placement: &ActivePlacement,
    workspace: WorkspaceId,
) -> Result<()> {
    let mut after = uuid::Uuid::nil();
    loop {
        let files = {
            let tenant = context.tenant(placement).await?;
            if workspaces::store::rules(&tenant, workspace).await?.is_none() {
                return Ok(());
            }
            list_ids(&tenant, workspace, after, FILES).await?
        };
        let Some((last, _)) = files.last() else { return Ok(()) };
        after = last.as_uuid();
        for (file, _) in files.iter().filter(|(_, version)| *version > 1) {
            prune_file(context, placement, *file).await?;
        }
    }
}
