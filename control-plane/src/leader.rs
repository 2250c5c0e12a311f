//! What one control plane of many does for all: keeping stock, picking up what dead ones left, purging what is overdue.
//!
//! The leader is whoever holds an advisory lock in `saas_platform`. The lock belongs to a session, so it falls when its
//! holder dies or is cut off, and another one takes it at its next try. Nothing hangs on there never being two for a
//! moment: every duty can run twice.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rowhouse_database::{AdminConnection, Columns, Described};
use rowhouse_problem::Result;
use rowhouse_settings::Settings;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::{clusters, fleet, operations, stock, sweeps, tenants};

/// How often somebody who is not the leader tries to be, and the leader makes sure that it still is.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How long after the stock was drawn on it is filled up again.
const AFTER_TAKING: Duration = Duration::from_millis(200);

type Task<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// Something that the leader does every now and then.
struct Duty {
    name: &'static str,
    period: fn(&Settings) -> Duration,
    run: for<'a> fn(&'a Context) -> Task<'a>,
}

const DUTIES: &[Duty] = &[
    Duty { name: "reap", period: |_| Duration::from_secs(2), run: |context| Box::pin(operations::reap(context)) },
    Duty { name: "stock", period: |_| Duration::from_secs(5), run: |context| Box::pin(stock::keep(context)) },
    Duty {
        name: "health",
        period: |settings| settings.provisioning.cluster_check,
        run: |context| Box::pin(clusters::watch(context)),
    },
    Duty { name: "sweeps", period: |_| Duration::from_secs(1), run: |context| Box::pin(sweeps::carry_on(context)) },
    Duty { name: "differences", period: |_| Duration::from_secs(15), run: |context| Box::pin(sweeps::show(context)) },
    Duty { name: "leases", period: |_| Duration::from_secs(2), run: |context| Box::pin(clusters::bury(context)) },
    Duty { name: "notices", period: |_| Duration::from_secs(1), run: |context| Box::pin(fleet::tell(context)) },
    Duty {
        name: "rehearsals",
        period: |settings| settings.migrations.lease,
        run: |context| Box::pin(fleet::sweep(context)),
    },
    Duty {
        name: "retention",
        period: |_| Duration::from_secs(10),
        run: |context| Box::pin(tenants::purge_overdue(context)),
    },
];

// A leader that stands still leads no longer: the server ends a session that says nothing for ten heartbeats.
const TRY_LEAD: &str = "
    select pg_try_advisory_lock(hashtextextended('rowhouse.leader', 0)) as leads,
        set_config('idle_session_timeout', '20s', false)";
const STILL_THERE: &str = "select 1 as one";

/// Leads whenever nobody else does, until it is stopped.
pub(crate) async fn run(context: Arc<Context>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = lead(&context, &stop).await {
            tracing::debug!(error = error.chain(), "could not lead");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(HEARTBEAT) => {}
        }
    }
}

/// Takes the lock if it is free, and does the duties for as long as it is held.
async fn lead(context: &Context, stop: &CancellationToken) -> Result<()> {
    let session = context.administer_platform().await?;
    let rows = session.query(TRY_LEAD, &[]).await.context("trying to lead")?;
    if !rows.first().map_or(Ok(false), |row| row.column("leads"))? {
        return Ok(());
    }
    tracing::info!("this control plane leads");
    metrics::gauge!("rowhouse_leader").set(1.0);
    let duties = async {
        // Side by side: one that waits for a cluster keeps no other waiting.
        futures::future::join_all(DUTIES.iter().map(|duty| repeat(context, duty))).await;
    };
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        () = duties => Ok(()),
        lost = keep_session(&session) => lost,
    };
    metrics::gauge!("rowhouse_leader").set(0.0);
    outcome
}

async fn repeat(context: &Context, duty: &Duty) {
    loop {
        let begun = Instant::now();
        if let Err(error) = (duty.run)(context).await {
            tracing::warn!(duty = duty.name, error = error.chain(), "a duty of the leader failed");
        }
        metrics::histogram!("rowhouse_leader_duty_seconds", "duty" => duty.name).record(begun.elapsed().as_secs_f64());
        tokio::select! {
            () = tokio::time::sleep((duty.period)(&context.settings)) => {}
            () = context.sweep_asked.notified(), if duty.name == "sweeps" => {}
            () = context.stock_taken.notified(), if duty.name == "stock" => {
                // Cloning would only slow down the tenant that is being made of what was taken.
                tokio::time::sleep(AFTER_TAKING).await;
            }
        }
    }
}

/// Ends when the session does, and the lock with it.
async fn keep_session(session: &AdminConnection) -> Result<()> {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        session.query(STILL_THERE, &[]).await.context("looking whether the lock is still held")?;
        // One that is not set for long is no longer shown.
        metrics::gauge!("rowhouse_leader").set(1.0);
    }
}
