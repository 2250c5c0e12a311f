//! The tasks behind the scenes: those who do jobs, and those who find out where there are any.

use std::time::Duration;

use rowhouse_domain::TenantId;
use rowhouse_problem::Result;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::context::WorkContext;
use super::marks::make_owed;
use super::nudge::Nudge;
use super::rounds::Rounds;
use super::store;
use super::turns::Reason;
use super::{ends, usage, visit::visit};

/// Tenants that one poll asks for, and that may wait in the ring before the next poll makes sense.
const POLLED: i32 = 200;
const BACKLOG: usize = 100;

/// Every active tenant is looked at this often, whether marked or not.
const SWEEP: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it waits where others have more than enough to do.
const BUSY: Duration = Duration::from_millis(50);

/// Tasks that report usage: short work, and a tenant out of reach holds up one of them only.
const USAGE_WORKERS: usize = 2;

/// Tasks that end what uploads have left.
const END_WORKERS: usize = 1;

/// How often reservations that nobody came back for are given back, and how many in one transaction.
const UPKEEP: Duration = Duration::from_secs(30);
const EXPIRED_AT_ONCE: i32 = 100;

/// What a task does of the tenants whose turn it is.
#[derive(Clone, Copy)]
enum Turn {
    Job,
    Usage,
    Ends,
}

/// Starts the tasks. They end with the handle.
pub fn start(context: WorkContext, nudge: Nudge) -> WorkerHandle {
    let stop = CancellationToken::new();
    let worker: std::sync::Arc<str> = Uuid::now_v7().to_string().into();
    let mut tasks = JoinSet::new();
    let parallel = context.settings.parallel;
    for (ring, workers, turn) in [
        (&nudge.jobs, parallel, Turn::Job),
        (&nudge.usage, USAGE_WORKERS, Turn::Usage),
        (&nudge.ends, END_WORKERS, Turn::Ends),
    ] {
        for _ in 0..workers {
            let (context, ring, worker, stop) = (context.clone(), ring.clone(), worker.clone(), stop.clone());
            tasks.spawn(async move {
                loop {
                    let (tenant, reason) = tokio::select! {
                        biased;
                        () = stop.cancelled() => break,
                        turn = ring.take() => turn,
                    };
                    // Outside the select: what was begun is finished.
                    match turn {
                        Turn::Job => visit(&context, &ring, &worker, tenant, reason).await,
                        Turn::Usage => usage::report(&context, &ring, &worker, tenant).await,
                        Turn::Ends => ends::see_to(&context, &ring, tenant).await,
                    }
                }
            });
        }
    }
    tasks.spawn(until(stop.clone(), poll(context.clone(), nudge.clone())));
    tasks.spawn(until(stop.clone(), sweep(context.clone(), nudge.clone())));
    tasks.spawn(until(stop.clone(), upkeep(context, nudge)));
    WorkerHandle { stop, tasks }
}

async fn until(stop: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = task => {}
    }
}

/// The running tasks. Dropping it interrupts them; their jobs are taken over when the leases end.
pub struct WorkerHandle {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl WorkerHandle {
    /// Begins no further job, and waits for those under way.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Looks for tenants that another replica, or one that died, has marked.
async fn poll(context: WorkContext, nudge: Nudge) {
    loop {
        tokio::time::sleep(context.settings.poll).await;
        if let Err(error) = make_owed(&context.platform, &nudge).await {
            tracing::debug!(error = error.chain(), "marks are still owed");
        }
        if nudge.waiting() > BACKLOG {
            continue;
        }
        match marked(&context).await {
            Ok(tenants) => {
                for (tenant, generation) in tenants {
                    nudge.offer(tenant, Reason { generation: Some(generation), is_sweep: false });
                }
            }
            Err(error) => tracing::warn!(error = error.chain(), "tenants with work could not be listed"),
        }
    }
}

async fn marked(context: &WorkContext) -> Result<Vec<(TenantId, i64)>> {
    store::list(&context.platform.get().await?, POLLED).await
}

/// What a lost mark would have left behind is found within a day.
async fn sweep(context: WorkContext, nudge: Nudge) {
    let mut rounds = Rounds::new(context.platform, SWEEP);
    loop {
        let tenant = rounds.next().await;
        while nudge.waiting() > BACKLOG {
            tokio::time::sleep(BUSY).await;
        }
        nudge.offer(tenant, Reason { generation: None, is_sweep: true });
    }
}

async fn upkeep(context: WorkContext, nudge: Nudge) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        nudge.tidy();
        if let Err(error) = expire_reservations(&context).await {
            tracing::warn!(error = error.chain(), "expired reservations could not be given back");
        }
    }
}

async fn expire_reservations(context: &WorkContext) -> Result<()> {
    loop {
        let expired = store::expire_reservations(&context.platform.get().await?, EXPIRED_AT_ONCE).await?;
        if expired > 0 {
            tracing::info!(expired, "gave back reservations of uploads that never ended");
        }
        if expired < EXPIRED_AT_ONCE {
            return Ok(());
        }
    }
}
