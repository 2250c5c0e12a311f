//! The end of deleted folders and workspaces: after their time in the trash, or when somebody wishes it, a job removes them with
//! everything in them. From its first word on nothing of it can be restored but single files that it has not come to.

use jiff::Timestamp;
use rowhouse_database::ActivePlacement;
use rowhouse_domain::JobId;
use rowhouse_problem::{Code, Error, Result};
use uuid::Uuid;

use super::{BATCH, Root, store};
use crate::changes::{Change, apply_in_background};
use crate::work::{self, JobKind, NewJob, WorkContext};
use crate::{files, folders, workspaces};

/// Files that go in one transaction, so that none takes long.
const FILES: i64 = 50;
/// Folders, and workspaces, whose purge one sweep begins; what is left waits for the next.
const ROOTS: i64 = 20;
/// How soon a root is tried again at which another job is at work.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(30);

/// Queues the job that purges a deleted folder or workspace, whose row is locked.
///
/// # Errors
/// `job_running` where one deletes, restores or purges it already.
pub async fn begin_purge(change: &Change<'_>, root: Root) -> Result<JobId> {
    let (kind, id) = root.parts();
    let job = NewJob::tree(JobKind::PurgeTree, id, kind);
    if !store::begin_purge(change, kind, id, job.id()).await? {
        return Err(Error::new(Code::JobRunning, "It is being deleted, restored or purged. Wait for that job."));
    }
    work::enqueue(change, &job).await?;
    Ok(job.id())
}

/// Purges a folder or workspace, whatever of it a process that died has left.
///
/// # Errors
/// Where the tenant's database fails.
pub async fn purge(context: &WorkContext, placement: &ActivePlacement, root: Uuid, job: JobId) -> Result<()> {
    if !apply_in_background(context, placement, async |change| store::adopt(change, root, job).await).await? {
        return Ok(());
    }
    loop {
        let doomed = store::doomed_files(&context.tenant(placement).await?, root, FILES).await?;
        if doomed.is_empty() {
            break;
        }
        let purged = apply_in_background(context, placement, async |change| {
            let purged = files::purge::purge(change, &doomed).await?.len();
            store::advance(change, job, purged).await?;
            Ok(purged)
        });
        if purged.await? == 0 {
            return Err(Error::unavailable("the files to purge are being moved or restored"));
        }
    }
    let folders = async |change: &Change<'_>| store::purge_folders(change, root, job, BATCH).await;
    while apply_in_background(context, placement, folders).await? > 0 {}
    apply_in_background(context, placement, async |change| store::end_purge(change, root, job).await).await
}

/// Begins to purge a tenant's folders and workspaces that were deleted longer ago than they are kept for. Says when the next one is
/// due. Never fails: what went wrong is logged and found again.
pub async fn sweep(context: &WorkContext, placement: &ActivePlacement) -> Option<Timestamp> {
    match begin_due(context, placement).await {
        Ok(next) => next,
        Err(error) => {
            tracing::warn!(tenant.id = %placement.get().tenant, error = error.chain(), "what is due has to wait");
            Timestamp::now().checked_add(AGAIN).ok()
        }
    }
}

async fn begin_due(context: &WorkContext, placement: &ActivePlacement) -> Result<Option<Timestamp>> {
    let retention = context.trash.retention;
    let (folders, workspaces) = {
        let tenant = context.tenant(placement).await?;
        let folders = folders::store::deleted_before(&tenant, retention, ROOTS).await?;
        (folders, workspaces::store::deleted_before(&tenant, retention, ROOTS).await?)
    };
    let has_begun = !folders.is_empty() || !workspaces.is_empty();
    for id in folders {
        apply_in_background(context, placement, async |change| {
            match folders::purge::lock(change, id).await {
                Ok(_) => begin_purge(change, Root::Folder(id)).await.map(|_| ()),
                // Restored, or taken along, a moment ago.
                Err(error) if matches!(error.code(), Code::NotFound | Code::InvalidTransition) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await?;
    }
    for id in workspaces {
        apply_in_background(context, placement, async |change| match workspaces::purge::lock(change, id).await {
            Ok(_) => begin_purge(change, Root::Workspace(id)).await.map(|_| ()),
            Err(error) if matches!(error.code(), Code::NotFound | Code::InvalidTransition) => Ok(()),
            Err(error) => Err(error),
        })
        .await?;
    }
    if has_begun {
        return Ok(Some(Timestamp::now()));
    }
    let tenant = context.tenant(placement).await?;
    let oldest = [folders::store::oldest_deletion(&tenant).await?, workspaces::store::oldest_deletion(&tenant).await?];
    Ok(oldest.into_iter().flatten().min().and_then(|deleted_at| deleted_at.checked_add(retention).ok()))
}
