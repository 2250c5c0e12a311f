//! Who may have a connection: the connections of one cluster, shared by all its tenants under one budget.
//!
//! The ledger opens and closes nothing. It is told what happened, and says what is to be done; so all of its rules
//! can be tried without a server. A *place* is the right to one server connection. It is taken before a connection
//! is opened and given back when the server is known to have let go of it, and places never outnumber the budget.
//!
//! Tenants take turns. A tenant that waits for the first time goes to the end of the line; each time a connection is
//! lent or opened for it, it goes to the end again. So one with a thousand requests delays another by one turn.

mod breaker;
mod callers;
mod doubts;
mod line;
#[cfg(test)]
mod model;
mod places;
mod snapshot;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use rowhouse_domain::TenantId;

use breaker::TOLERATED;
pub(crate) use breaker::{Breaker, jittered};
use callers::Callers;
use doubts::{DOUBTED_FOR, Doubt};
use line::Line;
pub use snapshot::{Snapshot, TenantLoad};

/// One login to one database, as connections of it are interchangeable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PoolId(pub(crate) u64);

/// One waiting caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// What bounds the ledger; each is at least one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections that one tenant may hold or have opened for it.
    pub(crate) per_tenant: usize,
    /// The same for one that keeps each of them long: its statements would have the server's processors to themselves.
    pub(crate) per_slow_tenant: usize,
    /// What is long.
    pub(crate) slow: Duration,
    /// Callers of one tenant that may wait.
    pub(crate) waiting_per_tenant: usize,
    /// Connections that are opened at once.
    pub(crate) opening: usize,
    /// The same for one tenant.
    pub(crate) opening_per_tenant: usize,
    /// How long a tenant keeps a connection busy while others wait for its place. Opening one costs a few milliseconds,
    /// so giving it away after every statement would have all of them do little else.
    pub(crate) turn: Duration,
    /// How long nothing is opened after the server said that it has no connection to spare.
    pub(crate) pause: Duration,
    /// How long a budget stays lowered that the server did not have room for.
    pub(crate) ceiling: Duration,
    /// How long callers of a pool are refused whose login or database was refused.
    pub(crate) refusal: Duration,
}

/// An open connection, as far as the ledger cares.
pub(crate) trait Connection {
    /// Whether it has been ended, or is too old to be lent again.
    fn is_spent(&self, now: Instant) -> bool;

    /// What tells the threads of callers apart.
    type Thread: Copy + PartialEq;

    /// The thread that drives it, where that is always the same: for a caller on it nobody else has to wake up for each statement.
    fn driver(&self) -> Option<Self::Thread>;
}

/// What is to be done, outside of the ledger's lock.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action<C, W> {
    /// Give the connection to the caller that waits.
    Lend { to: W, loan: Terms, connection: C },
    /// Open a connection and tell of it by [`Ledger::opened`] or [`Ledger::failed`].
    /// It is the pool's only one so far, or one of several.
    Open { pool: PoolId, tenant: TenantId, is_only: bool },
    /// Close the connection and tell of it by [`Ledger::closed`].
    Close(C),
    /// Tell the caller why there is none.
    Refuse { to: W, why: Refusal },
    /// The cluster does not answer: try it with this pool, by [`Ledger::probe`], after the pause.
    Probe { pool: PoolId, after: Duration },
    /// Call [`Ledger::go_on`] after the pause.
    Wake { after: Duration },
}

/// What a connection is lent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) pool: PoolId,
    pub(crate) tenant: TenantId,
    /// When the tenant's turn with the connection began.
    pub(crate) turn: Instant,
    /// When it was lent to this caller.
    pub(crate) lent: Instant,
    /// How often the connection was lent, this time included.
    pub(crate) loans: u32,
}

/// Why a caller gets no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The cluster does not answer; it is tried again in the background.
    Unreachable,
    /// The login or the database was refused.
    Refused,
    /// The pool is of a placement that is no longer the tenant's.
    Retired,
    /// Too many callers of the tenant wait already.
    Crowded,
}

/// What an attempt to open a connection met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The cluster does not answer, or is not up yet.
    Unreachable,
    /// The server has no connection to spare (SQLSTATE 53300).
    Full,
    /// This login or database has as many connections as it may, though the server has more to spare.
    Crowded,
    /// This login or database, and no other, is refused.
    Refused,
    /// This database says nothing; perhaps it is only slow.
    Silent,
    /// There is no way to this database any more, or none now: it says nothing of the server.
    Gone,
}

/// An attempt to open a connection that came to nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) failure: Failure,
    pub(crate) begun: Instant,
    /// Whether it left a session that has to be closed, of which [`Ledger::closed`] is told.
    pub(crate) is_ending: bool,
}

/// What has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ended {
    /// A connection that was to be closed.
    Closed,
    /// One that was let go of in the middle of something; its terms say whose it was.
    Abandoned(Terms),
    /// What an attempt to open one has left.
    Rest,
}

/// When a budget ends that is not renewed, and what is left then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lapse {
    pub(crate) at: Instant,
    pub(crate) to: usize,
}

/// What a caller is told at once.
#[derive(Debug)]
pub(crate) enum Asked<C> {
    /// Here it is.
    Lent(C, Terms),
    /// It waits under this ticket.
    Waits(Ticket),
    /// There will be none.
    Refused(Refusal),
}

/// The connections of one cluster.
pub(crate) struct Ledger<C: Connection, W> {
    limits: Limits,
    /// Places that there are.
    budget: usize,
    /// Until when, where that is bounded.
    lapse: Option<Lapse>,
    /// Places that the server turned out to have, and until when that is believed.
    ceiling: Option<(usize, Instant)>,
    /// Places that are taken: by connections that are open, being opened or being closed.
    taken: usize,
    /// Of these, connections that are being opened.
    opening: usize,
    /// Of these, connections that are being closed.
    closing: usize,
    /// Of these, such as were let go of in the middle of something, or of being opened: nobody knows when they end, and no place is
    /// waited for that one of them has.
    abandoned: usize,
    pools: HashMap<PoolId, Pool<C>>,
    tenants: HashMap<TenantId, Tenant<W, C::Thread>>,
    /// Pools that do not answer, or not soon: they share a part of what may be opened at once.
    doubts: HashMap<PoolId, Doubt>,
    /// Tenants with a caller that may be served, by their turn.
    line: Line,
    /// Idle connections in the order in which they make room.
    idle: BTreeMap<Stamp, PoolId>,
    breaker: Breaker,
    /// When the cluster was last known to answer: a connection came back in order, or was opened.
    heard: Option<Instant>,
    /// Where a connection was opened last; while the cluster is away, where it is tried by turns.
    opened_last: Option<PoolId>,
    /// Until when nothing is opened, because the server had no connection to spare.
    paused_until: Option<Instant>,
    /// Numbers tickets and idle connections.
    clock: u64,
    evicted: u64,
}

struct Pool<C> {
    /// The one that was used last at the back: it has the statements prepared, the others may fall idle.
    idle: VecDeque<Idle<C>>,
    /// Connections that are lent or being opened.
    busy: usize,
    /// Of these, such as are being opened for somebody who waits.
    opening: usize,
    is_retired: bool,
    /// Connections that its login or database turned out to be allowed, and until when that is believed: other processes have some
    /// too.
    ceiling: Option<(usize, Instant)>,
    refused_until: Option<Instant>,
}

/// Those that were used once come before those that were used again: a thousand tenants that are asked once in a while do not
/// take the connections of those that are asked all the time. Among both, the one that was used longest ago comes first. (The
/// segmented LRU of Karedla, Love and Wherry, 1994.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    is_proven: bool,
    used: u64,
}

struct Idle<C> {
    stamp: Stamp,
    since: Instant,
    loans: u32,
    connection: C,
}

struct Tenant<W, T> {
    pool: PoolId,
    /// Connections that it holds, also those that are being closed after it let go of them in the middle of something.
    held: usize,
    opening: usize,
    waiting: Callers<W, T>,
    /// Its place in the line, while it stands there.
    turn: Option<u64>,
    /// How long it keeps a connection, on an average in which the last ones count most.
    keeps: Duration,
}

impl<C: Connection, W> Ledger<C, W> {
    /// A ledger without a connection yet.
    pub(crate) fn new(limits: Limits, budget: usize) -> Self {
        Self {
            limits,
            budget,
            lapse: None,
            ceiling: None,
            taken: 0,
            opening: 0,
            closing: 0,
            abandoned: 0,
            pools: HashMap::new(),
            tenants: HashMap::new(),
            doubts: HashMap::new(),
            line: Line::default(),
            idle: BTreeMap::new(),
            breaker: Breaker::default(),
            heard: None,
            opened_last: None,
            paused_until: None,
            clock: 0,
            evicted: 0,
        }
    }

    /// A caller on a thread asks for a connection of a pool on behalf of a tenant. `waiter` is used only where it has to wait.
    pub(crate) fn ask(
        &mut self,
        (pool, tenant): (PoolId, TenantId),
        thread: C::Thread,
        waiter: impl FnOnce() -> W,
        now: Instant,
        actions: &mut Vec<Action<C, W>>,
    ) -> Asked<C> {
        if self.breaker.is_open() {
            return Asked::Refused(Refusal::Unreachable);
        }
        let state = self.pools.entry(pool).or_insert_with(Pool::new);
        if state.is_retired {
            return Asked::Refused(Refusal::Retired);
        }
        if state.refused_until.is_some_and(|until| now < until) {
            return Asked::Refused(Refusal::Refused);
        }
        if self.is_being_tried(pool) {
            return Asked::Refused(Refusal::Refused);
        }
        self.refuse_elsewhere(pool, tenant, actions);
        let limits = self.limits;
        let member = self.tenants.entry(tenant).or_insert_with(|| Tenant::of(pool));
        if member.waiting.is_empty() {
            member.pool = pool;
            if member.held < limits.of(member.keeps)
                && let Some((connection, loans)) = self.take_idle(pool, Some(thread), now, actions)
            {
                self.hold(pool, tenant);
                return Asked::Lent(
                    connection,
                    Terms { pool, tenant, turn: now, lent: now, loans: loans.saturating_add(1) },
                );
            }
        } else if member.waiting.len() >= limits.waiting_per_tenant {
            return Asked::Refused(Refusal::Crowded);
        }
        self.clock += 1;
        let ticket = Ticket(self.clock);
        if let Some(member) = self.tenants.get_mut(&tenant) {
            member.waiting.join(ticket, thread, waiter());
        }
        self.line_up(tenant);
        self.serve(now, actions);
        Asked::Waits(ticket)
    }

    /// A caller no longer waits.
    pub(crate) fn cancel(&mut self, tenant: TenantId, ticket: Ticket, now: Instant, actions: &mut Vec<Action<C, W>>) {
        let Some(member) = self.tenants.get_mut(&tenant) else { return };
        member.waiting.leave(ticket);
        self.line_up(tenant);
        self.forget(tenant);
        self.serve(now, actions);
    }

    /// A connection comes back as it was lent.
    pub(crate) fn give_back(&mut self, terms: Terms, connection: C, now: Instant, actions: &mut Vec<Action<C, W>>) {
        self.heard = Some(now);
        let has_much = self.has_more_than_its_share(terms.tenant);
        self.learn(&terms, now);
        self.let_go(terms.pool, terms.tenant);
        let turn_is_over = has_much || now.duration_since(terms.turn) >= self.limits.turn;
        self.settle(connection, &terms, turn_is_over, now, actions);
        self.lend_idle(&terms, now, actions);
        self.forget(terms.tenant);
        self.forget_pool(terms.pool);
        self.serve(now, actions);
    }

    /// A connection was let go of in the middle of something and is going to be closed: [`Self::closed`] follows, with the
    /// tenant. Until then it counts as the tenant's.
    pub(crate) fn abandon(&mut self) {
        self.closing += 1;
        self.abandoned += 1;
    }

    /// The server has let go of a connection.
    pub(crate) fn closed(&mut self, ended: Ended, now: Instant, actions: &mut Vec<Action<C, W>>) {
        self.closing -= 1;
        self.taken -= 1;
        if !matches!(ended, Ended::Closed) {
            self.abandoned -= 1;
        }
        if let Ended::Abandoned(terms) = &ended {
            self.learn(terms, now);
            self.let_go(terms.pool, terms.tenant);
            self.lend_idle(terms, now, actions);
            self.forget(terms.tenant);
            self.forget_pool(terms.pool);
        }
        self.serve(now, actions);
    }

    /// A connection that was to be opened is there.
    pub(crate) fn opened(
        &mut self,
        pool: PoolId,
        tenant: TenantId,
        connection: C,
        now: Instant,
        actions: &mut Vec<Action<C, W>>,
    ) {
        self.breaker.succeeded();
        (self.heard, self.opened_last) = (Some(now), Some(pool));
        self.no_longer_opening(pool, tenant);
        if let Some(state) = self.pools.get_mut(&pool) {
            state.refused_until = None;
        }
        self.doubts.remove(&pool);
        self.settle(connection, &Terms { pool, tenant, turn: now, lent: now, loans: 0 }, false, now, actions);
        self.forget(tenant);
        self.forget_pool(pool);
        self.serve(now, actions);
    }

    /// A connection that is being opened takes long: whoever waits for another database shall not wait for this one.
    pub(crate) fn dawdles(&mut self, pool: PoolId, now: Instant, actions: &mut Vec<Action<C, W>>) {
        self.doubt(pool, now, 0);
        self.serve(now, actions);
    }

    /// A connection could not be opened.
    pub(crate) fn failed(
        &mut self,
        pool: PoolId,
        tenant: TenantId,
        attempt: Attempt,
        now: Instant,
        actions: &mut Vec<Action<C, W>>,
    ) {
        self.no_longer_opening(pool, tenant);
        self.vacate(attempt.is_ending);
        match self.weigh(attempt) {
            Failure::Full => {
                self.ceiling = Some((self.taken.max(1), now + self.limits.ceiling));
                self.paused_until = Some(now + self.limits.pause);
                actions.push(Action::Wake { after: self.limits.pause });
            }
            Failure::Crowded => self.make_do(pool, now, actions),
            Failure::Refused | Failure::Gone => {
                self.doubts.remove(&pool);
                self.refuse_for_now(pool, now, actions);
            }
            Failure::Silent => {
                // Who waits is served by the next attempt, unless there have been too many.
                if self.doubt(pool, now, 1) >= TOLERATED {
                    self.refuse_for_now(pool, now, actions);
                }
            }
            Failure::Unreachable => self.miss(pool, actions),
        }
        self.line_up(tenant);
        self.forget(tenant);
        self.forget_pool(pool);
        self.serve(now, actions);
    }

    /// A session does not end, though it should have long ago. With all places taken by such sessions nobody could try whether
    /// the cluster is there, so one of which nothing else was heard meanwhile counts like an attempt.
    pub(crate) fn hangs(&mut self, pool: PoolId, since: Instant, actions: &mut Vec<Action<C, W>>) {
        if self.heard.is_none_or(|heard| heard <= since) {
            self.miss(pool, actions);
        }
    }

    /// The cluster did not answer once more.
    fn miss(&mut self, pool: PoolId, actions: &mut Vec<Action<C, W>>) {
        if let Some(pause) = self.breaker.failed() {
            self.refuse_all(None, Refusal::Unreachable, actions);
            self.close_idle_where(|_| true, actions);
            actions.push(Action::Probe { pool, after: pause });
        }
    }

    /// What a failure says. A cluster that has answered others since the attempt was begun is not away: silence is this
    /// database's own then.
    fn weigh(&self, attempt: Attempt) -> Failure {
        let has_answered = self.heard.is_some_and(|heard| heard > attempt.begun);
        if attempt.failure == Failure::Unreachable && has_answered { Failure::Silent } else { attempt.failure }
    }

    /// Takes a place to try a cluster that does not answer; [`Self::probed`] follows. False where there is none, or nobody
    /// needs to try any more; then another try may have been asked for.
    pub(crate) fn probe(&mut self, pool: PoolId, actions: &mut Vec<Action<C, W>>) -> bool {
        if !self.breaker.is_open() {
            return false;
        }
        if self.taken >= self.budget {
            // All of them hang on a silent server. They end by their deadlines.
            self.probe_again(pool, false, actions);
            return false;
        }
        self.taken += 1;
        self.opening += 1;
        true
    }

    /// The cluster was tried: it gave a connection, said that there is none, or did not answer.
    pub(crate) fn probed(
        &mut self,
        pool: PoolId,
        outcome: Result<C, Attempt>,
        now: Instant,
        actions: &mut Vec<Action<C, W>>,
    ) {
        self.opening -= 1;
        match outcome {
            Ok(connection) => {
                self.probe_again(pool, true, actions);
                // There is nobody in the line to whom it could go.
                self.keep(pool, connection, 0, now);
            }
            Err(attempt) => {
                self.vacate(attempt.is_ending);
                let has_answered = !matches!(attempt.failure, Failure::Unreachable | Failure::Gone);
                self.probe_again(pool, has_answered, actions);
            }
        }
        self.serve(now, actions);
    }

    fn probe_again(&mut self, pool: PoolId, has_answered: bool, actions: &mut Vec<Action<C, W>>) {
        if let Some(after) = self.breaker.probed(has_answered) {
            // In turns with one that could be opened: what does not answer may be a single database.
            let pool = self.opened_last.replace(pool).unwrap_or(pool);
            actions.push(Action::Probe { pool, after });
        }
    }

    /// Goes on after a pause.
    pub(crate) fn go_on(&mut self, now: Instant, actions: &mut Vec<Action<C, W>>) {
        self.serve(now, actions);
    }

    /// Changes how many places there are, until it lapses where it is to. Connections beyond it close: idle ones now, others
    /// when they come back.
    pub(crate) fn set_budget(
        &mut self,
        budget: usize,
        lapse: Option<Lapse>,
        now: Instant,
        actions: &mut Vec<Action<C, W>>,
    ) {
        (self.budget, self.lapse) = (budget, lapse);
        while self.taken - self.closing > budget && self.evict(actions) {}
        self.serve(now, actions);
    }

    /// Closes a pool for good: idle connections now, others when they come back. Its callers are refused.
    pub(crate) fn retire(&mut self, pool: PoolId, now: Instant, actions: &mut Vec<Action<C, W>>) {
        self.opened_last = self.opened_last.filter(|last| *last != pool);
        self.doubts.remove(&pool);
        let Some(state) = self.pools.get_mut(&pool) else { return };
        state.is_retired = true;
        self.refuse_all(Some(pool), Refusal::Retired, actions);
        self.close_idle_of(pool, |_| true, actions);
        self.forget_pool(pool);
        self.serve(now, actions);
    }

    /// Closes connections that idled for so long, or are spent, and forgets pools that have nothing.
    pub(crate) fn tidy(&mut self, longest: Duration, now: Instant, actions: &mut Vec<Action<C, W>>) {
        self.close_idle_where(|idle| now - idle.since >= longest || idle.connection.is_spent(now), actions);
        self.doubts.retain(|_, doubt| now - doubt.since < DOUBTED_FOR);
        let refused: Vec<PoolId> =
            self.pools.iter().filter(|(_, pool)| pool.refused_until.is_some()).map(|(id, _)| *id).collect();
        for id in refused {
            if let Some(pool) = self.pools.get_mut(&id) {
                pool.refused_until = pool.refused_until.filter(|until| now < *until);
            }
            self.forget_pool(id);
        }
        self.serve(now, actions);
    }
}
