//! A folder or workspace is deleted, restored, copied and purged with what lies in it: in the request's own transaction where that is
//! little, else by a job, under a cover that hides it until it is whole. The tree is walked by functions of the tenant's
//! database; this module begins the walk and goes on with it.

mod copy;
mod index;
mod purge;
mod store;

use rowhouse_database::ActivePlacement;
use rowhouse_domain::{FolderId, JobId, WorkspaceId};
use rowhouse_problem::{Error, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::changes::Change;
use crate::work::{self, JobKind, NewJob, WorkContext};

pub use copy::{CopyOrder, Outcome, begin_copy, copy, measure};
pub use index::index;
pub use purge::{begin_purge, purge, sweep};
pub use store::{cancel, check_move, check_restore};

/// Folders and files that a request deals with itself.
const AT_ONCE: i32 = 1_000;
/// Folders and files that a job deals with in one transaction.
const BATCH: i32 = 1_000;

/// The folder or workspace that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// A folder.
    Folder(FolderId),
    /// A workspace, and those that were deleted with it.
    Workspace(WorkspaceId),
}

/// What kind of root, as the database has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootKind {
    /// A folder.
    Folder,
    /// A workspace.
    Workspace,
}

impl Root {
    fn new(kind: RootKind, id: Uuid) -> Self {
        match kind {
            RootKind::Folder => Self::Folder(FolderId::from_uuid(id)),
            RootKind::Workspace => Self::Workspace(WorkspaceId::from_uuid(id)),
        }
    }

    fn parts(self) -> (RootKind, Uuid) {
        match self {
            Self::Folder(id) => (RootKind::Folder, id.as_uuid()),
            Self::Workspace(id) => (RootKind::Workspace, id.as_uuid()),
        }
    }
}

impl RootKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Workspace => "workspace",
        }
    }

    /// Reads the text of the database.
    ///
    /// # Errors
    /// Internal: nobody writes another.
    pub fn from_text(text: &str) -> Result<Self> {
        [Self::Folder, Self::Workspace]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Error::internal(format!("a tree with the root {text:?}")))
    }
}

/// What is done with the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// What lies in the root goes with it, which is deleted already.
    Delete,
    /// What went with the root comes back with it, which is restored already.
    Restore,
}

impl Task {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Restore => "restore",
        }
    }

    const fn job_kind(self) -> JobKind {
        match self {
            Self::Delete => JobKind::DeleteTree,
            Self::Restore => JobKind::RestoreTree,
        }
    }
}

/// Deals with what lies in the root, or queues the job that does: then it is named.
///
/// # Errors
/// `job_running` where a job is at work further inside; whatever the server says.
pub async fn begin(change: &Change<'_>, root: Root, task: Task) -> Result<Option<JobId>> {
    let (kind, id) = root.parts();
    let job = NewJob::tree(task.job_kind(), id, kind);
    if store::begin(change, kind, id, task, job.id(), AT_ONCE).await? {
        return Ok(None);
    }
    work::enqueue(change, &job).await?;
    Ok(Some(job.id()))
}

/// Goes on with a tree until it is done, or another job has taken over. What is done stays done when the process dies.
///
/// # Errors
/// Where the tenant's database fails.
pub async fn go_on(context: &WorkContext, placement: &ActivePlacement, root: Uuid, job: JobId) -> Result<()> {
    loop {
        // Between any two batches the connection may be somebody else's.
        let connection = context.tenant(placement).await?;
        match store::step(&connection, root, job, BATCH).await?.as_str() {
            "more" => {}
            "done" | "cancelled" => return Ok(()),
            other => return Err(Error::internal(format!("a step of a tree ended {other:?}"))),
        }
    }
}
