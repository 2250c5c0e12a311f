//! Which module does which kind of job.

use std::sync::Arc;

use rowhouse_database::ActivePlacement;
use rowhouse_domain::{FileId, FolderId, WorkspaceId};
use rowhouse_problem::{Error, Result};

use super::context::WorkContext;
use super::labels;
use super::model::{Job, JobKind};
use crate::files::versions::keep;
use crate::index;
use crate::rotation;
use crate::trees::{self, CopyOrder};

/// Does the jobs, one unless they are labels. Whatever they do may have been done before: their worker can have died just
/// after.
pub(super) async fn run(
    context: WorkContext,
    placement: ActivePlacement,
    worker: String,
    jobs: Arc<[Job]>,
) -> Result<()> {
    match &*jobs {
        [job] if job.kind != JobKind::IndexLabel => run_one(&context, &placement, job).await,
        labels => labels::write(&context, &placement, &worker, labels).await,
    }
}

async fn run_one(context: &WorkContext, placement: &ActivePlacement, job: &Job) -> Result<()> {
    match job.kind {
        JobKind::IndexFile => index::file(context, placement, FileId::from_uuid(job.subject()?)).await,
        JobKind::IndexFolder => index::folder(context, placement, FolderId::from_uuid(job.subject()?)).await,
        JobKind::IndexWorkspace => index::workspace(context, placement, WorkspaceId::from_uuid(job.subject()?)).await,
        JobKind::IndexTree => trees::index(context, placement, FolderId::from_uuid(job.subject()?)).await,
        JobKind::DeleteTree | JobKind::RestoreTree => trees::go_on(context, placement, job.subject()?, job.id).await,
        JobKind::PurgeTree => trees::purge(context, placement, job.subject()?, job.id).await,
        JobKind::CopyTree => {
            let order: CopyOrder = serde_json::from_value(job.payload.clone()).map_err(Error::internal)?;
            trees::copy(context, placement, FolderId::from_uuid(job.subject()?), job.id, &order).await
        }
        JobKind::ResealContents => rotation::reseal(context, placement, job.id).await,
        JobKind::PruneFile => keep::prune_file(context, placement, FileId::from_uuid(job.subject()?)).await,
        JobKind::PruneWorkspace => {
            keep::prune_workspace(context, placement, WorkspaceId::from_uuid(job.subject()?)).await
        }
        // Usage has workers of its own, and labels are written for many files at once.
        JobKind::Usage | JobKind::IndexLabel => {
            Err(Error::internal(format!("job {} is no work of a job's worker", job.id)))
        }
    }
}
