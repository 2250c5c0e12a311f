//! Labels on their way to search: many files in one transaction, the end of their jobs included.

use rowhouse_database::{ActivePlacement, TenantConnection};
use rowhouse_domain::FileId;
use rowhouse_problem::Result;

use super::context::WorkContext;
use super::model::{Job, JobKind, NewJob};
use super::visit::LEASE;
use super::{marks, store};
use crate::index;

/// Files whose labels are written together, the first one included.
const AT_ONCE: usize = 50;

/// The job that was taken on, with others of the kind that wait; one that has failed before stays by itself, so that it holds
/// up no other.
pub(super) async fn gather(connection: &TenantConnection, worker: &str, first: Job) -> Result<Vec<Job>> {
    let mut jobs = vec![first];
    if jobs[0].kind == JobKind::IndexLabel && jobs[0].attempts == 1 {
        jobs.extend(store::claim_labels(connection, worker, LEASE, AT_ONCE - jobs.len()).await?);
    }
    Ok(jobs)
}

/// Whether these are all the labels that there were, as far as anybody can tell. One that has failed before says nothing of others.
pub(super) fn are_few(jobs: &[Job]) -> bool {
    jobs[0].kind == JobKind::IndexLabel && jobs[0].attempts == 1 && jobs.len() < AT_ONCE
}

/// Does all of the jobs, or none.
pub(super) async fn write(
    context: &WorkContext,
    placement: &ActivePlacement,
    worker: &str,
    jobs: &[Job],
) -> Result<()> {
    let tenant = placement.get().tenant;
    let files = jobs.iter().map(|job| Ok(FileId::from_uuid(job.subject()?))).collect::<Result<Vec<_>>>()?;
    let mut connection = context.tenant(placement).await?;
    let transaction = connection.transaction().await?;
    let left = index::labels(&transaction, &files).await?;
    store::finish_all(&transaction, jobs, worker).await?;
    if left.is_empty() {
        return transaction.commit().await;
    }
    let further: Vec<NewJob> = left.into_iter().map(NewJob::index_file).collect();
    store::enqueue_all(&transaction, &further).await?;
    marks::mark(&context.platform, &context.nudge, tenant).await?;
    transaction.commit().await?;
    context.nudge.tenant(tenant);
    Ok(())
}
