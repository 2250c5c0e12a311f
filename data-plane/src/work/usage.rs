//! Usage events on their way to `saas_platform`: ahead of every other job, one after the other, and never given up.
//!
//! Until its event has come, an upload's bytes stand there as reserved: late events cost a customer room, lost ones would
//! cost the operator storage. So a failure, whatever it is, is tried again until it works.

use jiff::Timestamp;
use rowhouse_database::{ActivePlacement, TenantConnection};
use rowhouse_domain::TenantId;
use rowhouse_problem::Result;

use super::context::WorkContext;
use super::model::{Job, patience};
use super::nudge::Ring;
use super::store;
use super::turns::Reason;
use super::visit::{LEASE, OUT_OF_REACH, age, look_again_at};
use crate::placements;

/// Events that one tenant reports before it is the next one's turn.
const TURN: usize = 50;

/// Takes the tenant's turn. Never fails: what goes wrong is logged and tried again later.
pub(super) async fn report(context: &WorkContext, ring: &Ring, worker: &str, tenant: TenantId) {
    match report_turn(context, worker, tenant).await {
        Ok(true) => ring.offer(tenant, Reason::default()),
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(tenant.id = %tenant, error = error.chain(), "usage has to wait");
            // The mark that came with it, or the one that its reservation keeps, leads here again.
            ring.leave(tenant, OUT_OF_REACH);
        }
    }
    ring.end(tenant);
}

/// Says whether there may be more.
async fn report_turn(context: &WorkContext, worker: &str, tenant: TenantId) -> Result<bool> {
    let found = async { placements::find_active(&context.platform.get().await?, tenant).await };
    // What was spent of a block while `saas_platform` was away may have no mark at all.
    let placement = found.await.inspect_err(|_| context.nudge.owe_mark(tenant))?;
    // A tenant that may not be served keeps its events until it may.
    let Some(placement) = placement else { return Ok(false) };
    let connection = context.tenant(&placement).await?;
    for _ in 0..TURN {
        let Some(job) = store::claim_usage(&connection, worker, LEASE).await? else { return Ok(false) };
        report_one(context, &placement, &connection, worker, job).await?;
    }
    Ok(true)
}

async fn report_one(
    context: &WorkContext,
    placement: &ActivePlacement,
    connection: &TenantConnection,
    worker: &str,
    job: Job,
) -> Result<()> {
    let tenant = placement.get().tenant;
    let job = std::sync::Arc::new(job);
    let outcome = match super::run::run(context.clone(), placement.clone(), std::sync::Arc::clone(&job)).await {
        Ok(()) => {
            store::finish(connection, &job, worker).await?;
            "done"
        }
        Err(error) => {
            let pause = patience(age(&job));
            if error.is_retryable() {
                tracing::warn!(tenant.id = %tenant, job.id = %job.id, error = error.chain(), "usage could not be reported");
            } else {
                tracing::error!(tenant.id = %tenant, job.id = %job.id, error = error.chain(), "usage is refused");
            }
            store::postpone(connection, &job, worker, pause, &error.chain()).await?;
            look_again_at(context, tenant, Timestamp::now().checked_add(pause).unwrap_or(Timestamp::MAX)).await;
            "postponed"
        }
    };
    metrics::counter!("rowhouse_jobs_total", "kind" => job.kind.as_str(), "outcome" => outcome).increment(1);
    Ok(())
}
