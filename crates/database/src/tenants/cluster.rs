//! Does what the ledger of a cluster says: opens, lends and closes.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use metrics::Histogram;
use rowhouse_domain::{ClusterId, TenantId};
use rowhouse_problem::{Error, Result};
use rowhouse_settings as settings;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::door::{Door, Reach, Rest, Shut, TenantLink};
use super::drivers::Drivers;
use super::lease::Lease;
use super::ledger::{
    Action, Asked, Attempt, Ended, Failure, Lapse, Ledger, Limits, PoolId, Refusal, Snapshot, TenantLoad, Terms, Ticket,
};
use super::loan::Loan;

type Waiter = oneshot::Sender<Result<Loan, Refusal>>;
type Actions = Vec<Action<TenantLink, Waiter>>;

/// Connections that are opened at once for one tenant, so that others' are opened beside them.
const OPENING_PER_TENANT: usize = 2;
/// Callers of one tenant that may wait; more could not be served in time anyway.
const WAITING_PER_TENANT: usize = 5_000;
/// A tenant that keeps connections longer than this, on average, has statements that keep the server busy.
const SLOW: Duration = Duration::from_millis(50);
/// About what two connections cost to open.
const TURN: Duration = Duration::from_millis(10);
const PAUSE_WHEN_FULL: Duration = Duration::from_millis(200);
const CEILING: Duration = Duration::from_secs(5);
const REFUSAL: Duration = Duration::from_secs(1);
/// An attempt to open a connection that takes longer than this makes room for others beside it.
const DAWDLES: Duration = Duration::from_millis(250);
/// A session that takes longer than this to end may be one of a server that is away.
const HANGS: Duration = Duration::from_secs(1);

/// The connections of this process to one cluster.
pub(crate) struct Cluster {
    pub(super) id: ClusterId,
    checkout_timeout: Duration,
    ledger: Mutex<Ledger<TenantLink, Waiter>>,
    doors: DashMap<PoolId, Arc<Door>>,
    drivers: Arc<Drivers>,
    /// Where a connection is dropped outside of any runtime.
    runtime: Option<Handle>,
    checkout_seconds: Histogram,
    lease: Mutex<Lease>,
}

impl Cluster {
    pub(super) fn new(id: ClusterId, settings: &settings::Pools, budget: usize, drivers: Arc<Drivers>) -> Self {
        let limits = Limits {
            per_tenant: settings.per_tenant,
            per_slow_tenant: settings.per_slow_tenant.min(settings.per_tenant),
            slow: SLOW,
            waiting_per_tenant: WAITING_PER_TENANT,
            opening: settings.opening,
            opening_per_tenant: OPENING_PER_TENANT,
            turn: TURN,
            pause: PAUSE_WHEN_FULL,
            ceiling: CEILING,
            refusal: REFUSAL,
        };
        Self {
            id,
            checkout_timeout: settings.checkout_timeout,
            ledger: Mutex::new(Ledger::new(limits, budget)),
            doors: DashMap::new(),
            drivers,
            runtime: Handle::try_current().ok(),
            checkout_seconds: metrics::histogram!("rowhouse_checkout_seconds", "cluster" => id.to_string()),
            lease: Mutex::new(Lease::new(Instant::now())),
        }
    }

    /// Lets connections be opened through a door.
    pub(super) fn add(&self, door: Arc<Door>) {
        self.doors.insert(door.id, door);
    }

    /// Lends a connection to a tenant.
    pub(super) async fn borrow(self: &Arc<Self>, door: &Arc<Door>, tenant: TenantId) -> Result<Loan> {
        let begun = Instant::now();
        let (mut actions, mut receiver) = (Actions::new(), None);
        let waiter = || {
            let (sender, waiting) = oneshot::channel();
            receiver = Some(waiting);
            sender
        };
        let asked = {
            let mut ledger = self.lock();
            // Read under the lock, under which it is set: nothing is opened for a door that is shut.
            if door.is_retired() {
                return Err(explain(Refusal::Retired, door));
            }
            ledger.ask((door.id, tenant), thread::current().id(), waiter, begun, &mut actions)
        };
        self.act(actions);
        let loan = match (asked, receiver) {
            (Asked::Lent(link, terms), _) => Loan::new(self, link, terms),
            (Asked::Waits(ticket), Some(receiver)) => {
                let _turn = Waiting { cluster: self, tenant, ticket };
                let granted = tokio::time::timeout(self.checkout_timeout, receiver).await;
                let granted = granted.map_err(|_| out_of_room(self.checkout_timeout))?.map_err(Error::unavailable)?;
                granted.map_err(|refusal| explain(refusal, door))?
            }
            (Asked::Waits(_), None) => return Err(Error::internal("a caller that waits has no ticket")),
            (Asked::Refused(refusal), _) => return Err(explain(refusal, door)),
        };
        self.checkout_seconds.record(begun.elapsed().as_secs_f64());
        Ok(loan)
    }

    /// Takes a connection back as it was lent.
    pub(super) fn give_back(self: &Arc<Self>, terms: Terms, link: TenantLink) {
        self.tell(|ledger, now, actions| ledger.give_back(terms, link, now, actions));
    }

    /// Closes a connection that was let go of in the middle of something; what it runs is ended first, if it is to be.
    pub(super) fn abandon(self: &Arc<Self>, terms: Terms, link: TenantLink, is_to_be_cancelled: bool) {
        self.lock().abandon();
        let cluster = Arc::clone(self);
        self.spawn(async move {
            if is_to_be_cancelled {
                metrics::counter!("rowhouse_queries_cancelled_total").increment(1);
                link.cancel().await;
            }
            cluster.see_end(link.pool(), link.close()).await;
            cluster.tell(|ledger, now, actions| ledger.closed(Ended::Abandoned(terms), now, actions));
        });
    }

    /// Shuts a door for good.
    pub(super) fn retire(self: &Arc<Self>, door: &Door) {
        self.tell(|ledger, now, actions| {
            door.retire();
            ledger.retire(door.id, now, actions);
        });
        // Whoever still opens a connection has hold of the door.
        self.doors.remove(&door.id);
    }

    /// Changes how many connections there may be, until it lapses where it is to.
    pub(super) fn set_budget(self: &Arc<Self>, budget: usize, lapse: Option<Lapse>) {
        self.tell(|ledger, now, actions| ledger.set_budget(budget, lapse, now, actions));
    }

    /// Closes connections that idled for so long, or are too old.
    pub(super) fn tidy(self: &Arc<Self>, longest: Duration) {
        self.tell(|ledger, now, actions| ledger.tidy(longest, now, actions));
    }

    /// Whether a pool has a connection or a caller.
    pub(super) fn knows(&self, pool: PoolId) -> bool {
        self.lock().knows(pool)
    }

    /// How all of it stands.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.lock().snapshot()
    }

    /// The tenants that keep it busiest.
    pub(super) fn busiest(&self, most: usize) -> Vec<TenantLoad> {
        self.lock().busiest(most)
    }

    /// Whether callers wait for want of places or more is held than may be, what is held, and what could be made use of.
    pub(super) fn need(&self) -> (bool, usize, usize) {
        let ledger = self.lock();
        (ledger.is_pressed(), ledger.holds(), ledger.demand())
    }

    /// Reads or changes what the connections are leased on.
    pub(super) fn lease<T>(&self, work: impl FnOnce(&mut Lease) -> T) -> T {
        work(&mut self.lease.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, Ledger<TenantLink, Waiter>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(self: &Arc<Self>, what: impl FnOnce(&mut Ledger<TenantLink, Waiter>, Instant, &mut Actions)) {
        let mut actions = Actions::new();
        what(&mut self.lock(), Instant::now(), &mut actions);
        self.act(actions);
    }

    fn act(self: &Arc<Self>, actions: Actions) {
        for action in actions {
            match action {
                Action::Lend { to, loan, connection } => {
                    // A loan that nobody takes any more goes back by being dropped.
                    let _ = to.send(Ok(Loan::new(self, connection, loan)));
                }
                Action::Refuse { to, why } => {
                    let _ = to.send(Err(why));
                }
                Action::Open { pool, tenant, is_only } => {
                    let opening = Arc::clone(self).open(pool, tenant);
                    // Of a tenant that was not asked for in a while, nobody else is likely to ask at the same moment.
                    let own = is_only.then(|| self.drivers.this()).flatten();
                    match own.or_else(|| self.drivers.next()) {
                        Some(driver) => drop(driver.spawn(opening)),
                        None => self.spawn(opening),
                    }
                }
                Action::Close(link) => self.close(link),
                Action::Probe { pool, after } => self.spawn(Arc::clone(self).probe(pool, after)),
                Action::Wake { after } => {
                    let cluster = Arc::clone(self);
                    self.spawn(async move {
                        tokio::time::sleep(after).await;
                        cluster.tell(|ledger, now, actions| ledger.go_on(now, actions));
                    });
                }
            }
        }
    }

    /// Closes a connection that has a place.
    fn close(self: &Arc<Self>, link: TenantLink) {
        let cluster = Arc::clone(self);
        self.spawn(async move {
            cluster.see_end(link.pool(), link.close()).await;
            cluster.tell(|ledger, now, actions| ledger.closed(Ended::Closed, now, actions));
        });
    }

    /// The same with what an attempt has left.
    fn close_rest(self: &Arc<Self>, rest: Option<Rest>) {
        let Some(rest) = rest else { return };
        let cluster = Arc::clone(self);
        self.spawn(async move {
            cluster.see_end(rest.pool(), rest.close()).await;
            cluster.tell(|ledger, now, actions| ledger.closed(Ended::Rest, now, actions));
        });
    }

    async fn see_end(self: &Arc<Self>, pool: PoolId, end: impl Future<Output = ()>) {
        let (since, mut end) = (Instant::now(), pin!(end));
        if tokio::time::timeout(HANGS, &mut end).await.is_err() {
            self.tell(|ledger, _, actions| ledger.hangs(pool, since, actions));
            end.await;
        }
    }

    async fn open(self: Arc<Self>, pool: PoolId, tenant: TenantId) {
        let door = self.doors.get(&pool).map(|door| Arc::clone(&door));
        let mut attempt = pin!(try_door(door, Reach::Calmly));
        let (outcome, rest) = match tokio::time::timeout(DAWDLES, &mut attempt).await {
            Ok(done) => done,
            Err(_) => {
                self.tell(|ledger, now, actions| ledger.dawdles(pool, now, actions));
                attempt.await
            }
        };
        self.tell(|ledger, now, actions| match outcome {
            Ok(link) => ledger.opened(pool, tenant, link, now, actions),
            Err(attempt) => ledger.failed(pool, tenant, attempt, now, actions),
        });
        // Only now: its place is to be known as one that is being vacated.
        self.close_rest(rest);
    }

    async fn probe(self: Arc<Self>, pool: PoolId, after: Duration) {
        tokio::time::sleep(after).await;
        let mut is_to_be_tried = false;
        self.tell(|ledger, _, actions| is_to_be_tried = ledger.probe(pool, actions));
        if is_to_be_tried {
            let door = self.door_beside(pool);
            let pool = door.as_ref().map_or(pool, |door| door.id);
            let (outcome, rest) = try_door(door, Reach::Eagerly).await;
            self.tell(|ledger, now, actions| ledger.probed(pool, outcome, now, actions));
            self.close_rest(rest);
        }
    }

    /// The door of a pool, or any other where that was shut for good: all of them lead to the same server.
    fn door_beside(&self, pool: PoolId) -> Option<Arc<Door>> {
        let own = self.doors.get(&pool).map(|door| Arc::clone(&door));
        own.or_else(|| self.doors.iter().next().map(|door| Arc::clone(&door)))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match (Handle::try_current(), &self.runtime) {
            (Ok(runtime), _) => drop(runtime.spawn(task)),
            (Err(_), Some(runtime)) => drop(runtime.spawn(task)),
            // The process ends.
            (Err(_), None) => {}
        }
    }
}

/// A connection, or what came of it; and what is left of it and is to be closed.
async fn try_door(door: Option<Arc<Door>>, reach: Reach) -> (Result<TenantLink, Attempt>, Option<Rest>) {
    let begun = Instant::now();
    let outcome = match door {
        Some(door) => door.open(reach).await,
        // The door was shut for good in the meantime.
        None => Err(Shut { failure: Failure::Gone, rest: None }),
    };
    match outcome {
        Ok(link) => (Ok(link), None),
        Err(Shut { failure, rest }) => (Err(Attempt { failure, begun, is_ending: rest.is_some() }), rest),
    }
}

/// A caller in the line; it leaves it when it gives up.
struct Waiting<'a> {
    cluster: &'a Arc<Cluster>,
    tenant: TenantId,
    ticket: Ticket,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let (tenant, ticket) = (self.tenant, self.ticket);
        self.cluster.tell(|ledger, now, actions| ledger.cancel(tenant, ticket, now, actions));
    }
}

fn out_of_room(patience: Duration) -> Error {
    metrics::counter!("rowhouse_checkouts_refused_total", "reason" => "out_of_room").increment(1);
    Error::unavailable(format!("no connection came free within {patience:?}"))
}

/// All of them pass, or are somebody's work: the caller is asked to come back.
fn explain(refusal: Refusal, door: &Door) -> Error {
    let (reason, cause) = match refusal {
        Refusal::Unreachable => {
            ("unreachable", "the cluster does not answer; it is tried again in the background".into())
        }
        Refusal::Refused => ("refused", door.complaint()),
        Refusal::Retired => ("moved", "the placement was read before the tenant moved, or was closed".into()),
        Refusal::Crowded => ("crowded", format!("{WAITING_PER_TENANT} callers of the tenant wait already")),
    };
    metrics::counter!("rowhouse_checkouts_refused_total", "reason" => reason).increment(1);
    Error::unavailable(cause)
}
