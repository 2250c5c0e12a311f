//! Takes part in every run that is under way, together with the workers of other processes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rowhouse_database::is_cut_off;
use rowhouse_domain::{ClusterId, MigrationRunId};
use rowhouse_migrations::Stop;
use rowhouse_problem::{Error, Result};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use super::ahead::Sighted;
use super::away::{Patience, Server, Tried};
use super::birth::birth_version;
use super::claim::{self, Claimant, Outcome, Task};
use super::schema;
use crate::clusters::{ClusterLink, find_link};
use crate::context::Context;
use crate::templates;

/// What a free hand may wait for another.
const MOMENT: Duration = Duration::from_millis(15);

/// Migrates schemas until it is told to stop; then those are finished that were begun.
pub(crate) async fn work(context: Arc<Context>, stop: CancellationToken) {
    let worker = Worker {
        name: format!("{} {}", std::process::id(), Uuid::now_v7()),
        hands: Arc::new(Semaphore::new(context.settings.migrations.parallel)),
        tasks: TaskTracker::new(),
        in_hand: InHand::default(),
        context,
    };
    let mut sighted = HashMap::new();
    let alive = CancellationToken::new();
    let breath =
        tokio::spawn(breathe(Arc::clone(&worker.context), worker.name.clone(), worker.in_hand.clone(), alive.clone()));
    while !stop.is_cancelled() {
        worker.gather().await;
        let has_begun = worker.look(&stop, &mut sighted).await.unwrap_or_else(|error| {
            tracing::warn!(error = error.chain(), "runs of migrations could not be looked at");
            false
        });
        tokio::select! {
            () = stop.cancelled() => {}
            // Another look when a hand is free again; where there was nothing to do, after a while.
            () = worker.a_free_hand(), if has_begun => {}
            () = tokio::time::sleep(worker.context.settings.migrations.poll) => {}
            () = worker.context.fleet_woken.notified() => {}
        }
    }
    worker.tasks.close();
    worker.in_hand.stop(|_| true);
    worker.tasks.wait().await;
    alive.cancel();
    // It only sleeps.
    let _ = breath.await;
}

struct Worker {
    name: String,
    hands: Arc<Semaphore>,
    tasks: TaskTracker,
    in_hand: InHand,
    context: Arc<Context>,
}

/// What a worker is at work on. Its leases are extended for these only.
#[derive(Clone, Default)]
struct InHand(Arc<Mutex<HashMap<(MigrationRunId, Uuid), Stop>>>);

impl InHand {
    fn lock(&self) -> MutexGuard<'_, HashMap<(MigrationRunId, Uuid), Stop>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many schemas of a run.
    fn of(&self, run: MigrationRunId) -> usize {
        self.lock().keys().filter(|(of, _)| *of == run).count()
    }

    /// Stops what can go on later of some of them.
    fn stop(&self, is_wanted: impl Fn(MigrationRunId) -> bool) {
        self.lock().iter().filter(|((run, _), _)| is_wanted(*run)).for_each(|(_, stop)| stop.ask());
    }

    /// None where it is in hand already: its lease ran out while it could not be extended, and the worker took it over from
    /// itself. Whoever is at work on it goes on, and the new lease is that one's.
    fn take(&self, task: &Task) -> Option<Holding> {
        let which = (task.run, task.schema);
        match self.lock().entry(which) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(free) => free.insert(task.stop.clone()),
        };
        Some(Holding { in_hand: self.clone(), which })
    }
}

/// One of them, until it is dropped: also where its work crashes, or never begins.
struct Holding {
    in_hand: InHand,
    which: (MigrationRunId, Uuid),
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.in_hand.lock().remove(&self.which);
    }
}

impl Worker {
    /// Begins with as many schemas as there are free hands. Whether there were any.
    async fn look(&self, stop: &CancellationToken, sighted: &mut HashMap<MigrationRunId, Sighted>) -> Result<bool> {
        let context = &self.context;
        let newest = context.schema_version()?;
        let mut runs = claim::active(&context.progress.get().await?, newest).await?;
        sighted.retain(|run, _| runs.contains(run));
        // None keeps the others waiting: the one with the fewest hands first, and no more than its share of those that are free.
        runs.sort_by_cached_key(|run| self.in_hand.of(*run));
        let mut has_begun = false;
        let mut left = i64::try_from(runs.len()).unwrap_or(i64::MAX);
        for run in runs {
            let free = i64::try_from(self.hands.available_permits()).unwrap_or(i64::MAX);
            if free == 0 || stop.is_cancelled() {
                break;
            }
            let share = (free + left - 1) / left;
            left -= 1;
            let settings = &context.settings.migrations;
            let tasks = {
                let mut connection = context.progress.get().await?;
                let sighted = sighted.entry(run).or_default();
                let claimant = Claimant { name: &self.name, settings, newest };
                claim::claim(&mut connection, run, claimant, share, sighted).await
            };
            // What is wrong with one run is no reason to leave the others.
            let tasks = tasks.unwrap_or_else(|error| {
                tracing::warn!(run.id = %run, error = error.chain(), "no schema of a run of migrations could be claimed");
                Vec::new()
            });
            has_begun |= !tasks.is_empty();
            self.begin(run, tasks).await;
        }
        Ok(has_begun)
    }

    async fn begin(&self, run: MigrationRunId, tasks: Vec<Task>) {
        let mut links: HashMap<ClusterId, Tried<Result<Arc<ClusterLink>, String>>> = HashMap::new();
        let take = |task: Task| self.in_hand.take(&task).map(|holding| (holding, task));
        let tasks: Vec<(Holding, Task)> = tasks.into_iter().filter_map(take).collect();
        for (holding, task) in tasks {
            let link = match links.entry(task.cluster) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(missing) => missing.insert(prepare(&self.context, &task).await),
            };
            let link = match link {
                Tried { outcome: Ok(link), .. } => Some(Arc::clone(link)),
                Tried { server: Server::Away | Server::Lost, .. } => None,
                // What is wrong with one cluster is no reason to leave the schemas of the others.
                Tried { outcome: Err(reason), .. } => {
                    record(&self.context, &self.name, &task, &schema::not_begun(&task, reason)).await;
                    continue;
                }
            };
            let Ok(hand) = Arc::clone(&self.hands).acquire_owned().await else { return };
            let (context, name) = (Arc::clone(&self.context), self.name.clone());
            let span = tracing::info_span!("migration", run.id = %run, schema = task.name);
            let work = async move {
                let link = match link {
                    Some(link) => Ok(link),
                    None => prepare_when_it_is_back(&context, &task).await,
                };
                match link {
                    Ok(link) => carry_out(&context, &name, &link, &task).await,
                    Err(reason) => record(&context, &name, &task, &schema::not_begun(&task, &reason)).await,
                }
                drop((holding, hand));
                context.fleet_woken.notify_one();
            };
            self.tasks.spawn(work.instrument(span));
        }
    }

    /// Waits a moment for a quarter of the hands: a look costs the platform about as much as a small migration costs a tenant's
    /// database, and serves all that are free by then.
    async fn gather(&self) {
        let some = u32::try_from(self.context.settings.migrations.parallel / 4).unwrap_or(u32::MAX).max(1);
        // Late or closed: those that are free will do.
        let _ = tokio::time::timeout(MOMENT, self.hands.acquire_many(some)).await;
    }

    async fn a_free_hand(&self) {
        // Closed never.
        let _ = self.hands.acquire().await;
    }
}

/// How to get into the cluster of a task, once there is a template of what new tenants are born at: from before the first schema
/// is at it, where the run is about all of them. Or why not.
async fn prepare(context: &Context, task: &Task) -> Tried<Result<Arc<ClusterLink>, String>> {
    let not_yet = |said: String, error: &Error| Tried {
        outcome: Err(said),
        server: if is_cut_off(error) { Server::Away } else { Server::There },
    };
    let found = async { find_link(&context.platform.get().await?, task.cluster).await };
    let link = match found.await {
        Ok(link) => link,
        Err(error) => return not_yet(error.chain(), &error),
    };
    if task.dry_run.is_none()
        && let Err(error) = ensure_template(context, &link).await
    {
        tracing::warn!(cluster = link.name, error = error.chain(), "a template could not be made");
        let said = format!("the template of the cluster {} could not be made: {}", link.name, error.chain());
        return not_yet(said, &error);
    }
    Tried { outcome: Ok(Arc::new(link)), server: Server::There }
}

async fn ensure_template(context: &Context, link: &ClusterLink) -> Result<()> {
    let version = birth_version(context, &context.platform.get().await?).await?;
    templates::ensure(context, link, version).await
}

/// The same for a cluster whose server was away a moment ago.
async fn prepare_when_it_is_back(context: &Context, task: &Task) -> Result<Arc<ClusterLink>, String> {
    let mut patience = Patience::new();
    loop {
        let is_left = patience.is_left(Server::Away, &task.stop).await;
        let tried = prepare(context, task).await;
        if !is_left || tried.server == Server::There {
            return tried.outcome;
        }
    }
}

async fn carry_out(context: &Context, worker: &str, link: &ClusterLink, task: &Task) {
    let begun = std::time::Instant::now();
    let outcome = schema::migrate(context, link, task).await;
    metrics::histogram!("rowhouse_schema_migration_seconds").record(begun.elapsed().as_secs_f64());
    if let Some(outcome) = outcome {
        record(context, worker, task, &outcome).await;
    }
}

async fn record(context: &Context, worker: &str, task: &Task, outcome: &Outcome) {
    let recorded = async { claim::record(&context.platform.get().await?, task, worker, outcome).await };
    if let Err(error) = recorded.await {
        // The lease runs out, and another worker finds the schema where it is.
        tracing::warn!(error = error.chain(), "what came of a schema could not be recorded");
    }
}

/// Extends the leases of a worker's schemas for as long as it lives.
async fn breathe(context: Arc<Context>, worker: String, in_hand: InHand, end: CancellationToken) {
    let lease = context.settings.migrations.lease;
    while !end.is_cancelled() {
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(lease / 3) => {}
        }
        let now: Vec<_> = in_hand.lock().keys().copied().collect();
        let runs: Vec<MigrationRunId> = now.iter().map(|(run, _)| *run).collect();
        let extended = async {
            let connection = context.progress.get().await?;
            claim::extend(&connection, &worker, lease, &now).await?;
            claim::stopped(&connection, &runs).await
        };
        match extended.await {
            Ok(stopped) => in_hand.stop(|run| stopped.contains(&run)),
            Err(error) => tracing::warn!(error = error.chain(), "a worker's lease could not be extended"),
        }
    }
}
