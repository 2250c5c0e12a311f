//! Usage events on their way to `saas_platform`: ahead of every other job, in their order, and never given up.
//!
//! Until its event has come, an upload's bytes stand there as reserved: late events cost a customer room, lost ones would
//! cost the operator storage. So a failure, whatever it is, is tried again until it works.

use jiff::Timestamp;
use rowhouse_database::TenantConnection;
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};

use super::context::WorkContext;
use super::model::{Job, JobKind, patience};
use super::nudge::Ring;
use super::store;
use super::turns::Reason;
use super::visit::{LEASE, OUT_OF_REACH, age, look_again_at};
use crate::placements;

/// Events that are reported at once, before it is the next tenant's turn.
const AT_ONCE: usize = 50;

/// Takes the tenant's turn. Never fails: what goes wrong is logged and tried again later.
pub(super) async fn report(context: &WorkContext, ring: &Ring, worker: &str, tenant: TenantId) {
    match report_turn(context, worker, tenant).await {
        Ok(0) => {}
        Ok(AT_ONCE) => ring.offer(tenant, Reason::default()),
        Ok(_) => ring.gather(tenant),
        Err(error) => {
            tracing::warn!(tenant.id = %tenant, error = error.chain(), "usage has to wait");
            // The mark that came with it, or the one that its reservation keeps, leads here again.
            ring.leave(tenant, OUT_OF_REACH);
        }
    }
    ring.end(tenant);
}

/// Says how many there were.
async fn report_turn(context: &WorkContext, worker: &str, tenant: TenantId) -> Result<usize> {
    let found = async { placements::find_active(&context.platform.get().await?, tenant).await };
    // What was spent of a block while `saas_platform` was away may have no mark at all.
    let owe = |error: &Error| {
        if error.is_retryable() {
            context.nudge.owe_mark(tenant);
        }
    };
    let placement = found.await.inspect_err(owe)?;
    // A tenant that may not be served keeps its events until it may.
    let Some(placement) = placement else { return Ok(0) };
    let connection = context.tenant(&placement).await?;
    let jobs = store::claim_usage(&connection, worker, LEASE, AT_ONCE).await?;
    if jobs.is_empty() {
        return Ok(0);
    }
    match record(context, tenant, &jobs).await {
        Ok(()) => settle(context, tenant, &connection, worker, &jobs, Ok(())).await?,
        // One that is refused holds up no other.
        Err(error) if !error.is_retryable() && jobs.len() > 1 => {
            for job in &jobs {
                let job = std::slice::from_ref(job);
                settle(context, tenant, &connection, worker, job, record(context, tenant, job).await).await?;
            }
        }
        Err(error) => settle(context, tenant, &connection, worker, &jobs, Err(error)).await?,
    }
    Ok(jobs.len())
}

async fn record(context: &WorkContext, tenant: TenantId, jobs: &[Job]) -> Result<()> {
    let events = jobs.iter().map(|job| Ok((job.id, job.created_at, job.usage_event()?))).collect::<Result<Vec<_>>>()?;
    store::record_usage(&context.platform.get().await?, tenant, &events).await
}

/// Writes down how it went.
async fn settle(
    context: &WorkContext,
    tenant: TenantId,
    connection: &TenantConnection,
    worker: &str,
    jobs: &[Job],
    result: Result<()>,
) -> Result<()> {
    let outcome = match result {
        Ok(()) => {
            store::finish_all(connection, jobs, worker).await?;
            "done"
        }
        Err(error) => {
            let pause = patience(jobs.iter().map(age).max().unwrap_or_default());
            if error.is_retryable() {
                tracing::warn!(tenant.id = %tenant, events = jobs.len(), error = error.chain(), "usage could not be reported");
            } else {
                tracing::error!(tenant.id = %tenant, events = jobs.len(), error = error.chain(), "usage is refused");
            }
            for job in jobs {
                store::postpone(connection, job, worker, pause, &error.chain()).await?;
            }
            look_again_at(context, tenant, Timestamp::now().checked_add(pause).unwrap_or(Timestamp::MAX)).await;
            "postponed"
        }
    };
    metrics::counter!("rowhouse_jobs_total", "kind" => JobKind::Usage.as_str(), "outcome" => outcome)
        .increment(jobs.len() as u64);
    Ok(())
}
