//! Carries operations out. It takes no input: it is woken, or wakes by itself, and looks what is due.

use std::sync::Arc;
use std::time::Duration;

use rowhouse_database::PlatformTransaction;
use rowhouse_problem::{Code, Error, Result};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::hands::{Hand, Hands};
use super::model::Kind;
use super::store::{self, Claimed, End, Finished};
use super::work::{Outcome, Work};
use crate::context::Context;
use crate::doctor;
use crate::tenants::{login, provision, purge};

/// The pause before the second attempt; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Steps take a second at most; twice what a single statement may take shows which one did not.
const STEP_LIMIT: Duration = Duration::from_secs(120);
/// A migration may have to rewrite tables, and an examination visits every tenant.
const MIGRATION_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Looks for what is due, in one of any number of processes that share the work, until the process is to stop; then waits
/// until the steps that are running are done.
pub(crate) async fn reconcile(context: Arc<Context>) {
    while !context.stop.is_cancelled() {
        start_due(&context).await;
        tokio::select! {
            () = context.stop.cancelled() => {}
            () = context.pulse.woken() => {}
            () = tokio::time::sleep(context.settings.provisioning.poll) => {}
        }
    }
    context.hands.rest().await;
}

async fn start_due(context: &Arc<Context>) {
    let mut hands: Vec<Hand> = std::iter::from_fn(|| context.hands.free()).collect();
    match claim(context, &hands).await {
        Ok(due) => {
            for claimed in due {
                let Some(hand) = hands.pop() else { return };
                Hands::carry_out(context, claimed, hand);
            }
        }
        // Nothing is lost: the next look finds them again.
        Err(error) => tracing::warn!(error = error.chain(), "due operations could not be read"),
    }
}

async fn claim(context: &Context, hands: &[Hand]) -> Result<Vec<Claimed>> {
    let Some(first) = hands.first() else { return Ok(Vec::new()) };
    let most = i64::try_from(hands.len()).unwrap_or(i64::MAX);
    store::claim(&context.progress.get().await?, most, first).await
}

/// Carries one operation out to its end, or as far as it gets.
pub(super) async fn carry_out(work: Work, stop: CancellationToken) {
    let span = tracing::info_span!(
        "operation",
        operation.id = %work.claimed.id,
        operation.kind = work.claimed.kind,
        operation.attempt = work.claimed.attempts,
        tenant.id = work.claimed.tenant.map(tracing::field::display),
    );
    async {
        let begun = Instant::now();
        // Whoever lost the lease must not go on: somebody else does.
        let outcome = tokio::select! {
            outcome = steps(&work, &stop) => outcome,
            () = lose_lease(&work) => Ending::LeaseLost,
        };
        let has_succeeded = conclude(&work, outcome, begun.elapsed()).await.unwrap_or_else(|error| {
            // The lease runs out, and the operation is taken up again.
            tracing::warn!(error = error.chain(), "an operation's end could not be recorded");
            false
        });
        failpoint(&work.claimed, "end", "recorded");
        work.context.pulse.put_down(work.claimed.id, has_succeeded);
    }
    .instrument(span)
    .await;
}

/// Extends the lease for as long as it is polled; returns only when the lease is lost, or run out unextended.
async fn lose_lease(work: &Work) {
    let (lease, mut leased_until) = (work.context.settings.provisioning.lease, work.claimed.leased_until);
    loop {
        let now = Instant::now();
        if now >= leased_until {
            return;
        }
        tokio::time::sleep_until(leased_until.min(now + lease / 3)).await;
        // By this process's clock the lease must not last longer than by the server's, so it counts from the question.
        let asked = Instant::now();
        let extend = async { store::extend(&work.context.progress.get().await?, &work.claimed, lease).await };
        match tokio::time::timeout_at(leased_until, extend).await {
            Ok(Ok(true)) => leased_until = asked + lease,
            Ok(Ok(false)) | Err(_) => return,
            Ok(Err(error)) => tracing::warn!(error = error.chain(), "a lease could not be extended"),
        }
    }
}

/// Why the steps came to an end.
enum Ending {
    AllDone,
    Obsolete,
    Stopped,
    /// Somebody else goes on, or soon will.
    LeaseLost,
    Failed(Error),
}

/// What carries the steps of one kind out, with what it remembers from one to the next.
enum Worker {
    Provision(Box<provision::Attempt>),
    Login,
    Purge,
    Doctor,
}

impl Worker {
    fn of(kind: &str) -> Result<Self> {
        match Kind::parse(kind) {
            Some(Kind::TenantProvision) => Ok(Self::Provision(Box::default())),
            Some(Kind::TenantLogin) => Ok(Self::Login),
            Some(Kind::TenantPurge) => Ok(Self::Purge),
            Some(Kind::Doctor) => Ok(Self::Doctor),
            None => Err(Error::internal(format!("this release does not know operations of kind {kind:?}"))),
        }
    }

    async fn run_step(&mut self, work: &Work, step: &str) -> Result<Outcome> {
        match self {
            Self::Provision(attempt) => attempt.run_step(work, step).await,
            Self::Login => login::run_step(work, step).await,
            Self::Purge => purge::run_step(work, step).await,
            Self::Doctor => doctor::run_step(work).await,
        }
    }
}

async fn steps(work: &Work, stop: &CancellationToken) -> Ending {
    match all_steps(work, stop).await {
        Ok(ending) => ending,
        Err(error) => Ending::Failed(error),
    }
}

async fn all_steps(work: &Work, stop: &CancellationToken) -> Result<Ending> {
    let claimed = &work.claimed;
    let mut worker = Worker::of(&claimed.kind)?;
    if claimed.attempts > 1 {
        store::start_again(&work.context.progress.get().await?, claimed).await?;
    }
    let (mut done, mut begun): (Option<String>, _) = (None, claimed.begun.clone());
    loop {
        let next = match begun.take() {
            Some(step) => store::Next::Step(step),
            None => store::advance(&work.context.progress.get().await?, claimed, done.as_deref()).await?,
        };
        if let Some(done) = &done {
            failpoint(claimed, done, "recorded");
        }
        let step = match next {
            store::Next::Step(step) => step,
            store::Next::End => return Ok(Ending::AllDone),
            store::Next::Lost => return Ok(Ending::LeaseLost),
        };
        if stop.is_cancelled() {
            return Ok(Ending::Stopped);
        }
        let outcome = run_step(work, &mut worker, &step).await;
        failpoint(claimed, &step, "ran");
        match outcome {
            Ok(Outcome::Done) => done = Some(step),
            Ok(Outcome::Through(last)) => done = Some(last.to_owned()),
            Ok(Outcome::AtTheEnd | Outcome::Finished) => return Ok(Ending::AllDone),
            Ok(Outcome::Obsolete) => return Ok(Ending::Obsolete),
            Err(error) => {
                tracing::warn!(step, error = error.chain(), "step failed");
                let connection = work.context.platform.get().await?;
                let recorded = store::step_failed(&connection, claimed, &step, public(&error).detail()).await?;
                return if recorded { Err(error) } else { Ok(Ending::LeaseLost) };
            }
        }
    }
}

async fn run_step(work: &Work, worker: &mut Worker, step: &str) -> Result<Outcome> {
    let begun = Instant::now();
    let limit = step_limit(step);
    let outcome = match fail_on_purpose(&work.claimed, step) {
        Some(error) => Err(error),
        None => tokio::time::timeout(limit, worker.run_step(work, step)).await.unwrap_or_else(|_| {
            let detail = format!("The step took longer than {} s.", limit.as_secs());
            Err(Error::new(Code::DeadlineExceeded, detail))
        }),
    };
    let elapsed = begun.elapsed();
    metrics::histogram!("rowhouse_operation_step_seconds", "kind" => work.claimed.kind.clone(), "step" => step.to_owned())
        .record(elapsed.as_secs_f64());
    tracing::debug!(step, duration_ms = elapsed.as_millis(), "step ended");
    outcome
}

/// A place at which a test may end the process as SIGKILL does: `tenant_provision.role.ran`, before the step is recorded,
/// or `….recorded`. No build that is optimised has any.
fn failpoint(claimed: &Claimed, step: &str, moment: &str) {
    #[cfg(all(feature = "failpoints", debug_assertions))]
    fail::fail_point!(&format!("{}.{step}.{moment}", claimed.kind), |_| {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
    let _ = (claimed, step, moment);
}

/// A place at which a test may have a step fail: `tenant_provision.role.fails`.
fn fail_on_purpose(claimed: &Claimed, step: &str) -> Option<Error> {
    #[cfg(all(feature = "failpoints", debug_assertions))]
    fail::fail_point!(&format!("{}.{step}.fails", claimed.kind), |_| Some(Error::unavailable("a failpoint")));
    let _ = (claimed, step);
    None
}

/// Puts operations back whose holder was not heard of for a lease. The leader's work.
pub(crate) async fn reap(context: &Context) -> Result<()> {
    let reaped = store::reap(&context.platform.get().await?).await?;
    for (operation, kind) in &reaped {
        metrics::counter!("rowhouse_operations_reaped_total", "kind" => kind.clone()).increment(1);
        tracing::warn!(operation.id = %operation, operation.kind = kind, "whoever worked on this operation is gone");
    }
    if !reaped.is_empty() {
        context.pulse.wake();
    }
    Ok(())
}

/// How long a step may take before it counts as failed. Its connections close then, and what it began may still be done:
/// the next attempt looks.
fn step_limit(step: &str) -> Duration {
    if ["migrate", "examine"].contains(&step) { MIGRATION_LIMIT } else { STEP_LIMIT }
}

/// Records how an attempt ended; true where the operation has succeeded.
async fn conclude(work: &Work, ending: Ending, elapsed: Duration) -> Result<bool> {
    let context = &work.context;
    let claimed = &work.claimed;
    let failures = claimed.failures.saturating_add(1);
    let outcome = match &ending {
        Ending::AllDone => "done",
        Ending::Obsolete => "cancelled",
        Ending::Stopped => "released",
        Ending::LeaseLost => "lease_lost",
        Ending::Failed(_) if failures < context.settings.provisioning.max_attempts => "retried",
        Ending::Failed(_) => "failed",
    };
    let duration_ms = elapsed.as_millis();
    metrics::counter!("rowhouse_operations_total", "kind" => claimed.kind.clone(), "outcome" => outcome).increment(1);
    if matches!(ending, Ending::LeaseLost) {
        tracing::warn!(duration_ms, "the lease was lost: whoever claims the operation next goes on");
        return Ok(false);
    }
    let mut has_succeeded = false;
    let mut connection = context.platform.get().await?;
    match ending {
        Ending::LeaseLost => {}
        Ending::Stopped => store::release(&connection, claimed).await?,
        Ending::Failed(error) if outcome == "retried" => {
            store::retry(&connection, claimed, pause(failures), &public(&error)).await?;
        }
        Ending::AllDone | Ending::Obsolete | Ending::Failed(_) => {
            let tx = connection.transaction().await?;
            if let Ending::Failed(error) = &ending {
                tracing::error!(error = error.chain(), "the operation is given up");
                if Kind::parse(&claimed.kind) == Some(Kind::TenantProvision) {
                    provision::give_up(&tx, work, error).await?;
                }
            }
            let end = match &ending {
                Ending::Obsolete => End::Cancelled,
                Ending::Failed(error) => End::Failed(public(error)),
                Ending::AllDone | Ending::Stopped | Ending::LeaseLost => last_act(&tx, work).await?,
            };
            let finished = store::finish(&tx, claimed, &end).await?;
            if finished == Finished::Not {
                return Err(Error::new(Code::RequestInFlight, "the lease was lost before the end was recorded"));
            }
            tx.commit().await?;
            has_succeeded = finished == Finished::ForGood && matches!(end, End::Succeeded);
        }
    }
    tracing::info!(outcome, duration_ms, "operation ended");
    Ok(has_succeeded)
}

/// What is to be true from the moment at which the operation has ended, in that very transaction.
async fn last_act(tx: &PlatformTransaction<'_>, work: &Work) -> Result<End> {
    let is_wanted = match Kind::parse(&work.claimed.kind) {
        Some(Kind::TenantProvision) => provision::activate(tx, work).await?,
        Some(Kind::TenantPurge) => purge::bury(tx, work).await?,
        Some(Kind::TenantLogin | Kind::Doctor) | None => true,
    };
    Ok(if is_wanted { End::Succeeded } else { End::Cancelled })
}

/// What the record of an operation says of an error: no cause, and no word of a request that there is none of.
fn public(error: &Error) -> Error {
    let is_ours = error.code() == Code::Internal;
    let detail = if is_ours { "The operation's id names this occurrence in our logs." } else { error.detail() };
    Error::new(error.code(), detail)
}

/// How long to wait after the given number of attempts that failed.
fn pause(failures: i32) -> Duration {
    let doublings = u32::try_from(failures.clamp(1, 16) - 1).unwrap_or(0);
    (FIRST_PAUSE * 2u32.pow(doublings)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<u128> = [1, 2, 3, 8, 100].into_iter().map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 60_000, 60_000]);
    }
}
