//! The end of deleted folders and workspaces: after their time in the trash, or when somebody wishes it, a job removes them with
//! everything in them. From its first word on nothing of it can be restored but single files that it has not come to.

use std::time::Duration;

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
const FILES: i32 = 50;
/// Folders and workspaces whose purge one sweep begins; what is left waits for the next.
const ROOTS: i64 = 20;
/// How soon a root is tried again at which another job is at work.
const AGAIN: Duration = Duration::from_secs(30);
/// How soon a job is tried again that was given up with its cover in place: whatever was wrong may have been mended.
const REVIVAL: Duration = Duration::from_secs(60 * 60);

/// Queues the job that purges a deleted folder or workspace, whose row is locked. One that was given up goes on.
///
/// # Errors
/// `job_running` where one deletes or purges it already, or deletes something in it.
pub async fn begin_purge(change: &Change<'_>, root: Root) -> Result<JobId> {
    let (kind, id) = root.parts();
    let job = NewJob::tree(JobKind::PurgeTree, id, kind);
    let Some(at_it) = store::begin_purge(change, kind, id, job.id()).await? else {
        return Err(Error::new(Code::JobRunning, "It is being deleted or purged. Wait for that job."));
    };
    if at_it == job.id() {
        work::enqueue(change, &job).await?;
    }
    Ok(at_it)
}

/// Purges a folder or workspace, whatever of it a process that died has left.
///
/// # Errors
/// Where the tenant's database fails.
pub async fn purge(context: &WorkContext, placement: &ActivePlacement, root: Uuid, job: JobId) -> Result<()> {
    loop {
        let has_more = apply_in_background(context, placement, async |change| {
            let (has_more, doomed) = store::purge_step(change, root, job, BATCH, FILES).await?;
            if !doomed.is_empty() {
                let purged = files::purge::purge(change, &doomed).await?.len();
                if purged == 0 {
                    return Err(Error::unavailable("the files to purge are being moved or restored"));
                }
                store::advance(change, job, purged).await?;
            }
            Ok(has_more)
        });
        if !has_more.await? {
            return Ok(());
        }
    }
}

/// Begins to purge a tenant's folders and workspaces that were deleted longer ago than they are kept for, and goes on with what was
/// given up. Says when the next one is due. Never fails: what went wrong is logged and found again.
pub async fn sweep(context: &WorkContext, placement: &ActivePlacement) -> Option<Timestamp> {
    match look(context, placement).await {
        Ok(next) => next,
        Err(error) => {
            tracing::warn!(tenant.id = %placement.get().tenant, error = error.chain(), "what is due has to wait");
            Timestamp::now().checked_add(AGAIN).ok()
        }
    }
}

async fn look(context: &WorkContext, placement: &ActivePlacement) -> Result<Option<Timestamp>> {
    let revived = store::revive(&context.tenant(placement).await?, REVIVAL).await?;
    let begun = begin_due(context, placement).await?;
    Ok(revived.into_iter().chain(begun).min())
}

async fn begin_due(context: &WorkContext, placement: &ActivePlacement) -> Result<Option<Timestamp>> {
    let retention = context.trash.retention;
    let due = store::due(&context.tenant(placement).await?, retention, ROOTS).await?;
    let (mut has_begun, mut has_to_wait) = (false, false);
    for root in due {
        let begun = apply_in_background(context, placement, async |change| {
            match root {
                Root::Folder(id) => folders::trash::lock_root(change, id).await.map(|_| ())?,
                Root::Workspace(id) => workspaces::trash::lock_root(change, id).await.map(|_| ())?,
            }
            begin_purge(change, root).await
        });
        match begun.await {
            Ok(_) => has_begun = true,
            // Restored, or taken along, a moment ago.
            Err(error) if matches!(error.code(), Code::NotFound | Code::InvalidTransition) => has_begun = true,
            // One that waits holds up no other.
            Err(error) if error.code() == Code::JobRunning => has_to_wait = true,
            Err(error) => return Err(error),
        }
    }
    if has_begun {
        return Ok(Some(Timestamp::now()));
    }
    if has_to_wait {
        return Ok(Timestamp::now().checked_add(AGAIN).ok());
    }
    let oldest = store::oldest_deletion(&context.tenant(placement).await?).await?;
    Ok(oldest.and_then(|deleted_at| deleted_at.checked_add(retention).ok()))
}
