//! The end of deleted files: their rows go and what they used is given back. Their contents stay for the grace period, in
//! which downloads end, and for as long as another version shares them.

use jiff::Timestamp;
use rowhouse_database::ActivePlacement;
use rowhouse_domain::{FileId, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::IfMatch;

use super::store;
use super::versions::{self, Removed, give_back};
use super::views::etag;
use crate::authentication::Caller;
use crate::changes::{Change, Verb, apply, apply_in_background};
use crate::state::AppState;
use crate::work::WorkContext;
use crate::{index, workspaces};

/// Files that go in one transaction, so that none takes long.
const AT_ONCE: i64 = 50;
/// Transactions of one sweep, so that other tenants have their turn.
const TURNS: usize = 20;

/// Purges those of the files that are deleted, and says which.
pub(crate) async fn purge(change: &Change<'_>, ids: &[FileId]) -> Result<Vec<FileId>> {
    let mut places: Vec<WorkspaceId> = store::workspaces_of(change, ids).await?;
    places.sort();
    workspaces::store::lock_any(change, &places).await?;
    index::store::lock_searches(change, ids).await?;
    let mut deleted = store::lock_any(change, ids).await?;
    // A file that was moved before its lock, and is not in a workspace that is locked, is left for another time.
    deleted.retain(|file| file.is_deleted && places.contains(&file.workspace));
    let ids: Vec<FileId> = deleted.iter().map(|file| file.id).collect();
    let removed = versions::store::delete_all(change, &ids).await?;
    store::purge(change, &ids).await?;
    let of_workspace = |workspace: WorkspaceId| -> Vec<Removed> {
        let is_there = |one: &&Removed| deleted.iter().any(|file| file.id == one.file && file.workspace == workspace);
        removed.iter().filter(is_there).cloned().collect()
    };
    let removed: Vec<_> = places.iter().map(|workspace| (*workspace, of_workspace(*workspace))).collect();
    give_back(change, &removed).await?;
    for id in &ids {
        change.record(Verb::Purged, *id).await?;
    }
    Ok(ids)
}

/// Purges a deleted file now.
pub(super) async fn purge_now(state: &AppState, caller: &Caller, id: FileId, condition: &IfMatch) -> Result<()> {
    apply(state, caller, async |change| {
        if let Some(workspace) = store::find_workspace(change, id).await? {
            workspaces::store::lock_any(change, &[workspace]).await?;
            index::store::lock_searches(change, &[id]).await?;
        }
        let Some(file) = store::lock_deleted(change, id).await? else {
            // Tells a live file from none at all.
            store::find(change, id).await?;
            let detail = "Only what is deleted can be purged. Delete it first, without `purge`.";
            return Err(Error::new(Code::InvalidTransition, detail));
        };
        condition.check(&etag(&file))?;
        if purge(change, &[id]).await?.is_empty() {
            return Err(Error::unavailable("the file was moved meanwhile"));
        }
        Ok(())
    })
    .await
}

/// Purges a tenant's files that were deleted longer ago than they are kept for. Says when the next one is due.
pub(super) async fn sweep(context: &WorkContext, placement: &ActivePlacement) -> Result<Option<Timestamp>> {
    let retention = context.trash.retention;
    for _ in 0..TURNS {
        let due = {
            let tenant = context.tenant(placement).await?;
            let due = store::deleted_before(&tenant, retention, AT_ONCE).await?;
            if due.is_empty() {
                let oldest = store::oldest_deletion(&tenant).await?;
                return Ok(oldest.and_then(|deleted_at| deleted_at.checked_add(retention).ok()));
            }
            due
        };
        let purged = apply_in_background(context, placement, async |change| purge(change, &due).await).await?;
        tracing::info!(tenant.id = %placement.get().tenant, files = purged.len(), "purged files deleted long ago");
    }
    Ok(Some(Timestamp::now()))
}
