//! One turn of one tenant: at most one job, or many labels at once, or proof that there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rowhouse_database::ActivePlacement;
use rowhouse_domain::TenantId;
use rowhouse_problem::{Code, Error, Result};
use tokio_util::task::AbortOnDropHandle;

use super::context::WorkContext;
use super::model::{Job, JobKind, backoff, patience};
use super::nudge::Ring;
use super::turns::Reason;
use super::{labels, run, store};
use crate::files::versions::keep;
use crate::{files, placements, trees};

/// How long a job belongs to its worker without a sign of life: so long does a job wait whose process was killed.
pub(super) const LEASE: Duration = Duration::from_secs(15);

/// Three signs of life a lease, so that losing one or two costs nothing.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// How long a tenant is left alone whose database did not answer.
pub(super) const OUT_OF_REACH: Duration = Duration::from_secs(5);

/// How long a tenant is left alone that may not be served; its jobs wait until it may.
const NOT_SERVED: Duration = Duration::from_secs(5 * 60);

/// How long a job may be put off by what it needs; from then on each failure counts as an attempt.
const LONGEST_OUTAGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Takes the tenant's turn. Never fails: what goes wrong is logged and tried again later.
pub(super) async fn visit(context: &WorkContext, ring: &Ring, worker: &str, tenant: TenantId, reason: Reason) {
    if let Err(error) = look(context, ring, worker, tenant, reason).await {
        tracing::warn!(tenant.id = %tenant, error = error.chain(), "background work could not reach a tenant");
        ring.leave(tenant, OUT_OF_REACH);
        if let Err(error) = look_again_in(context, tenant, reason, OUT_OF_REACH).await {
            tracing::debug!(error = error.chain(), "a mark could not be moved");
        }
    }
    ring.end(tenant);
}

async fn look(context: &WorkContext, ring: &Ring, worker: &str, tenant: TenantId, reason: Reason) -> Result<()> {
    let placement = {
        let platform = context.platform.get().await?;
        placements::find_active(&platform, tenant).await?
    };
    let Some(placement) = placement else {
        return look_again_in(context, tenant, reason, NOT_SERVED).await;
    };
    if ring.is_sweep_overdue(tenant, context.settings.sweep_while_busy) {
        // Its jobs have their turns beside this and after it.
        ring.offer(tenant, reason);
        store::forget(&context.tenant(&placement).await?).await?;
        sweep(context, &placement).await;
        return Ok(());
    }
    let connection = context.tenant(&placement).await?;
    match store::claim(&connection, worker, LEASE).await? {
        Some(job) => {
            let jobs = labels::gather(&connection, worker, job).await?;
            // A job takes a connection only while it needs one.
            drop(connection);
            if labels::are_few(&jobs) {
                ring.gather(tenant);
            }
            // There may be more, and another worker may be free for it.
            ring.offer(tenant, reason);
            perform(context, &placement, worker, jobs).await
        }
        None => {
            if reason == Reason::default() {
                // Only a nudge; the mark that came with it brings somebody here once more.
                return Ok(());
            }
            let next = store::next_due(&connection).await?;
            store::forget(&connection).await?;
            if reason.is_sweep && keep::queue_all(&connection).await? > 0 {
                look_again_at(context, tenant, Timestamp::now()).await;
            }
            drop(connection);
            let next = earlier(next, sweep(context, &placement).await);
            found_nothing(context, tenant, reason, next).await
        }
    }
}

/// Sees to what is due without a job, and says when there will be more of it. Never fails.
async fn sweep(context: &WorkContext, placement: &ActivePlacement) -> Option<Timestamp> {
    let files = files::sweep::sweep(context, placement).await;
    earlier(files, trees::sweep(context, placement).await)
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// Clears the mark that led here, or leaves one for what is due later.
async fn found_nothing(context: &WorkContext, tenant: TenantId, reason: Reason, next: Option<Timestamp>) -> Result<()> {
    match (reason.generation, next) {
        (Some(generation), next) => store::clear(&context.platform.get().await?, tenant, generation, next).await,
        (None, Some(next)) if reason.is_sweep => store::mark_for(&context.platform.get().await?, tenant, next).await,
        (None, _) => Ok(()),
    }
}

async fn look_again_in(context: &WorkContext, tenant: TenantId, reason: Reason, pause: Duration) -> Result<()> {
    let Some(generation) = reason.generation else { return Ok(()) };
    let next = Timestamp::now().checked_add(pause).map_err(Error::internal)?;
    store::clear(&context.platform.get().await?, tenant, generation, Some(next)).await
}

/// Does jobs, one unless they are labels, while their leases are kept alive, and writes down how it went.
async fn perform(context: &WorkContext, placement: &ActivePlacement, worker: &str, jobs: Vec<Job>) -> Result<()> {
    let tenant = placement.get().tenant;
    let max_attempts = context.settings.max_attempts;
    if let Some(job) = jobs.iter().find(|job| job.attempts > max_attempts) {
        let error = format!("given up: the process died in each of {max_attempts} attempts");
        tracing::error!(tenant.id = %tenant, job.id = %job.id, kind = job.kind.as_str(), error, "a job was parked");
        return store::park(&context.tenant(placement).await?, job, worker, &error).await;
    }
    let (begun, jobs) = (Instant::now(), Arc::<[Job]>::from(jobs));
    // In a task of its own, so that a panic ends the job and not the worker.
    let run = run::run(context.clone(), placement.clone(), worker.to_owned(), Arc::clone(&jobs));
    let work = AbortOnDropHandle::new(tokio::spawn(run));
    let result = keep_leases(context, placement, worker, &jobs, work).await;
    for job in jobs.iter() {
        // Labels that could not be written together are tried again one by one.
        settle(context, placement, worker, job, &result).await?;
        metrics::histogram!("rowhouse_job_seconds", "kind" => job.kind.as_str()).record(begun.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Writes down how a job went.
async fn settle(
    context: &WorkContext,
    placement: &ActivePlacement,
    worker: &str,
    job: &Job,
    result: &Result<()>,
) -> Result<()> {
    let tenant = placement.get().tenant;
    let max_attempts = context.settings.max_attempts;
    let mut next = None;
    let outcome = match result {
        // They end with what they have written.
        Ok(()) if job.kind == JobKind::IndexLabel => "done",
        Ok(()) => {
            store::finish(&context.tenant(placement).await?, job, worker).await?;
            "done"
        }
        Err(error) if is_outage(error) && age(job) < LONGEST_OUTAGE => {
            let pause = patience(age(job));
            tracing::warn!(tenant.id = %tenant, job.id = %job.id, kind = job.kind.as_str(), error = error.chain(), "a job has to wait");
            store::postpone(&context.tenant(placement).await?, job, worker, pause, &error.chain()).await?;
            next = Some(pause);
            "postponed"
        }
        Err(error) if job.attempts < max_attempts => {
            tracing::warn!(tenant.id = %tenant, job.id = %job.id, kind = job.kind.as_str(), error = error.chain(), "a job failed");
            let pause = backoff(job.attempts);
            store::retry(&context.tenant(placement).await?, job, worker, pause, &error.chain()).await?;
            next = Some(pause);
            "failed"
        }
        Err(error) => {
            tracing::error!(tenant.id = %tenant, job.id = %job.id, kind = job.kind.as_str(), error = error.chain(), "a job was parked");
            store::park(&context.tenant(placement).await?, job, worker, &error.chain()).await?;
            "parked"
        }
    };
    if let Some(pause) = next {
        look_again_at(context, tenant, Timestamp::now().checked_add(pause).unwrap_or(Timestamp::MAX)).await;
    }
    metrics::counter!("rowhouse_jobs_total", "kind" => job.kind.as_str(), "outcome" => outcome).increment(1);
    Ok(())
}

/// Whether what failed is something that the job needs, and not the job. A statement that took too long is the job's own
/// doing: it would take as long the next time.
fn is_outage(error: &Error) -> bool {
    error.is_retryable() && error.code() != Code::DeadlineExceeded
}

/// Marks that the tenant has a job again from `due` on. Without the mark the daily sweep would find it.
pub(super) async fn look_again_at(context: &WorkContext, tenant: TenantId, due: Timestamp) {
    let marked = async { store::mark_for(&context.platform.get().await?, tenant, due).await };
    if let Err(error) = marked.await {
        tracing::warn!(tenant.id = %tenant, error = error.chain(), "a job that is tried again later could not be marked");
    }
}

async fn keep_leases(
    context: &WorkContext,
    placement: &ActivePlacement,
    worker: &str,
    jobs: &[Job],
    mut work: AbortOnDropHandle<Result<()>>,
) -> Result<()> {
    loop {
        match tokio::time::timeout(SIGN_OF_LIFE, &mut work).await {
            Ok(joined) => return joined.map_err(Error::internal)?,
            Err(_) => match extend(context, placement, worker, jobs).await {
                Ok(true) => {}
                Ok(false) => return Err(Error::internal("another worker took the job over")),
                // The lease may still last: the next sign of life can come through.
                Err(error) => tracing::debug!(error = error.chain(), "a lease could not be prolonged"),
            },
        }
    }
}

async fn extend(context: &WorkContext, placement: &ActivePlacement, worker: &str, jobs: &[Job]) -> Result<bool> {
    store::extend(&context.tenant(placement).await?, jobs, worker, LEASE).await
}

/// How long ago the job was queued; clocks of two machines may differ.
pub(super) fn age(job: &Job) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(job.created_at)).unwrap_or_default()
}
