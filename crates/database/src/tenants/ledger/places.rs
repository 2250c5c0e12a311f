//! How places change hands.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rowhouse_domain::TenantId;

use super::callers::Callers;
use super::line::Member;
use super::{Action, Connection, Idle, Ledger, Limits, Pool, PoolId, Refusal, Stamp, Tenant, Terms, jittered};

/// Idle connections that are looked at for one that the caller's thread drives.
const NEAR: usize = 16;

impl<C> Pool<C> {
    pub(super) fn new() -> Self {
        Self { idle: VecDeque::new(), busy: 0, opening: 0, is_retired: false, ceiling: None, refused_until: None }
    }
}

impl<C> Pool<C> {
    /// Connections that it has or may soon have.
    fn size(&self) -> usize {
        self.busy + self.idle.len()
    }

    fn has_room(&self, now: Instant) -> bool {
        self.ceiling.is_none_or(|(most, until)| self.size() < most || now >= until)
    }
}

impl Limits {
    /// Connections that a tenant may hold that keeps each for so long.
    pub(super) fn of(&self, keeps: Duration) -> usize {
        if keeps > self.slow { self.per_slow_tenant } else { self.per_tenant }
    }
}

impl<W, T: PartialEq> Tenant<W, T> {
    pub(super) fn of(pool: PoolId) -> Self {
        Self { pool, held: 0, opening: 0, waiting: Callers::new(), turn: None, keeps: Duration::ZERO }
    }
}

impl<C: Connection, W> Ledger<C, W> {
    /// Places that may be taken now.
    fn places(&mut self, now: Instant) -> usize {
        if let Some(lapse) = self.lapse.filter(|lapse| lapse.at <= now) {
            (self.budget, self.lapse) = (self.budget.min(lapse.to), None);
        }
        match self.ceiling {
            Some((_, until)) if now >= until => {
                self.ceiling = None;
                self.budget
            }
            Some((ceiling, _)) => ceiling.min(self.budget),
            None => self.budget,
        }
    }

    /// Opens connections for those who wait, in their turns, and makes room where there is none.
    pub(super) fn serve(&mut self, now: Instant, actions: &mut Vec<Action<C, W>>) {
        let is_paused = self.paused_until.is_some_and(|until| now < until);
        if self.line.is_empty() || self.breaker.is_open() || is_paused {
            return;
        }
        let places = self.places(now);
        let mut wanted = 0;
        while self.has_room_to_open() {
            let Some(member) = self.first_to_open(now) else { break };
            if self.taken >= places {
                // The line's length bounds the look; places that are being vacated already are wanted as well.
                wanted = self.unserved(None, now);
                break;
            }
            self.taken += 1;
            self.opening += 1;
            // One that had nothing but callers was forgotten with its last idle connection.
            let pool = self.pools.entry(member.pool).or_insert_with(Pool::new);
            (pool.busy, pool.opening) = (pool.busy + 1, pool.opening + 1);
            let is_only = pool.size() == 1;
            if let Some(tenant) = self.tenants.get_mut(&member.tenant) {
                tenant.opening += 1;
            }
            self.go_to_the_end(member.tenant);
            actions.push(Action::Open { pool: member.pool, tenant: member.tenant, is_only });
        }
        while self.soon_free() < wanted && self.evict(actions) {}
    }

    /// Places that are about to be vacated.
    fn soon_free(&self) -> usize {
        self.closing - self.abandoned
    }

    /// The first in the line for whom a connection may be opened. Few are passed over: those that have enough being
    /// opened, of which there are fewer than may be opened at once.
    fn first_to_open(&self, now: Instant) -> Option<Member> {
        self.line.members().find(|member| self.may_open(member.tenant, now))
    }

    fn may_open(&self, tenant: TenantId, now: Instant) -> bool {
        self.tenants.get(&tenant).is_some_and(|tenant| {
            self.pools.get(&tenant.pool).is_none_or(|pool| pool.has_room(now))
                && self.may_be_tried(tenant.pool)
                && tenant.opening < tenant.waiting.len().min(self.limits.opening_per_tenant)
                && tenant.held + tenant.opening < self.limits.of(tenant.keeps)
        })
    }

    /// Connections that could be opened at once for those who wait, in other pools than one, were there places.
    fn unserved(&self, beside: Option<PoolId>, now: Instant) -> usize {
        let room = self.limits.opening.saturating_sub(self.opening).max(usize::from(self.has_room_to_open()));
        let others = self.line.members().filter(|member| Some(member.pool) != beside);
        others.filter(|member| self.may_open(member.tenant, now)).take(room).count()
    }

    /// The first who waits, in another pool, for a place that nobody is about to vacate.
    fn first_elsewhere(&mut self, pool: PoolId, now: Instant) -> Option<Member> {
        if self.line.is_empty() || self.taken < self.places(now) || !self.has_room_to_open() {
            return None;
        }
        let first = self.line.first_beside(pool)?;
        (self.soon_free() < self.unserved(Some(pool), now)).then_some(first)
    }

    /// A connection without a holder: it goes to whoever's turn it is, or is kept for the next.
    pub(super) fn settle(
        &mut self,
        connection: C,
        terms: &Terms,
        turn_is_over: bool,
        now: Instant,
        actions: &mut Vec<Action<C, W>>,
    ) {
        let pool = terms.pool;
        let is_retired = self.pools.get(&pool).is_none_or(|pool| pool.is_retired);
        let is_over_budget = self.taken - self.closing > self.places(now);
        if is_retired || is_over_budget || self.breaker.is_open() || connection.is_spent(now) {
            return self.close(connection, actions);
        }
        let own = self.line.first_of(pool);
        let stays = match (own, self.first_elsewhere(pool, now)) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(other)) => own.turn < other.turn || !turn_is_over,
        };
        if !stays {
            return self.close(connection, actions);
        }
        let Some(own) = own else {
            return self.keep(pool, connection, terms.loans, now);
        };
        let driver = connection.driver();
        let waiter = self.tenants.get_mut(&own.tenant).and_then(|tenant| tenant.waiting.next(driver.as_ref()));
        let Some(to) = waiter else { return self.close(connection, actions) };
        self.hold(pool, own.tenant);
        self.go_to_the_end(own.tenant);
        actions.push(Action::Lend {
            to,
            loan: Terms { tenant: own.tenant, lent: now, loans: terms.loans.saturating_add(1), ..*terms },
            connection,
        });
    }

    /// Lends what lies idle to a tenant that held so many that it was not lent to, and has let go of one. What it waits for may be of
    /// another pool than what it held: it has moved.
    pub(super) fn lend_idle(&mut self, terms: &Terms, now: Instant, actions: &mut Vec<Action<C, W>>) {
        let pool = self.tenants.get(&terms.tenant).map_or(terms.pool, |tenant| tenant.pool);
        while self.line.first_of(pool).is_some()
            && let Some((idle, loans)) = self.take_idle(pool, None, now, actions)
        {
            self.settle(idle, &Terms { pool, loans, turn: now, ..*terms }, false, now, actions);
        }
    }

    /// Notes for how long a tenant had a connection.
    pub(super) fn learn(&mut self, terms: &Terms, now: Instant) {
        if let Some(tenant) = self.tenants.get_mut(&terms.tenant) {
            tenant.keeps = (tenant.keeps * 7 + now.duration_since(terms.lent)) / 8;
        }
    }

    /// Gives a place back, at once or when the session in it has ended.
    pub(super) fn vacate(&mut self, is_ending: bool) {
        if is_ending {
            self.closing += 1;
            self.abandoned += 1;
        } else {
            self.taken -= 1;
        }
    }

    /// Keeps a connection for the next of its pool.
    pub(super) fn keep(&mut self, pool: PoolId, connection: C, loans: u32, now: Instant) {
        self.clock += 1;
        let stamp = Stamp { is_proven: loans > 1, used: self.clock };
        self.idle.insert(stamp, pool);
        let state = self.pools.entry(pool).or_insert_with(Pool::new);
        state.idle.push_back(Idle { stamp, since: now, loans, connection });
    }

    fn close(&mut self, connection: C, actions: &mut Vec<Action<C, W>>) {
        self.closing += 1;
        actions.push(Action::Close(connection));
    }

    /// Closes the idle connection that is the first to make room; false where there is none.
    pub(super) fn evict(&mut self, actions: &mut Vec<Action<C, W>>) -> bool {
        let Some((stamp, pool)) = self.idle.pop_first() else { return false };
        let found = self.pools.get_mut(&pool).and_then(|pool| {
            let place = pool.idle.iter().position(|idle| idle.stamp == stamp)?;
            pool.idle.remove(place)
        });
        if let Some(idle) = found {
            self.evicted += 1;
            self.close(idle.connection, actions);
        }
        self.forget_pool(pool);
        true
    }

    /// An idle connection of the pool that can be lent: one that a thread drives, else the one that was used last.
    pub(super) fn take_idle(
        &mut self,
        pool: PoolId,
        thread: Option<C::Thread>,
        now: Instant,
        actions: &mut Vec<Action<C, W>>,
    ) -> Option<(C, u32)> {
        loop {
            let connections = &mut self.pools.get_mut(&pool)?.idle;
            let last = connections.len().checked_sub(1)?;
            // A pool holds few, but for those of shared databases.
            let near = connections.iter().enumerate().rev().take(NEAR);
            let is_own = |idle: &Idle<C>| thread.is_some() && idle.connection.driver() == thread;
            let own = near.filter(|(_, idle)| is_own(idle)).map(|(place, _)| place).next();
            let idle = connections.remove(own.unwrap_or(last))?;
            self.idle.remove(&idle.stamp);
            if !idle.connection.is_spent(now) {
                return Some((idle.connection, idle.loans));
            }
            self.close(idle.connection, actions);
        }
    }

    pub(super) fn close_idle_where(&mut self, is_done: impl Fn(&Idle<C>) -> bool, actions: &mut Vec<Action<C, W>>) {
        let pools: Vec<PoolId> =
            self.pools.iter().filter(|(_, pool)| !pool.idle.is_empty()).map(|(id, _)| *id).collect();
        for pool in pools {
            self.close_idle_of(pool, &is_done, actions);
            self.forget_pool(pool);
        }
    }

    pub(super) fn close_idle_of(
        &mut self,
        pool: PoolId,
        is_done: impl Fn(&Idle<C>) -> bool,
        actions: &mut Vec<Action<C, W>>,
    ) {
        let Some(state) = self.pools.get_mut(&pool) else { return };
        for idle in std::mem::take(&mut state.idle) {
            if is_done(&idle) {
                self.idle.remove(&idle.stamp);
                self.closing += 1;
                actions.push(Action::Close(idle.connection));
            } else {
                state.idle.push_back(idle);
            }
        }
    }

    /// Tells those of a tenant who wait for a connection of another pool that there will be none: the tenant has moved.
    pub(super) fn refuse_elsewhere(&mut self, pool: PoolId, tenant: TenantId, actions: &mut Vec<Action<C, W>>) {
        let Some(member) = self.tenants.get_mut(&tenant).filter(|member| member.pool != pool) else { return };
        let waiting = member.waiting.dismiss();
        let left = std::mem::replace(&mut member.pool, pool);
        actions.extend(waiting.map(|to| Action::Refuse { to, why: Refusal::Retired }));
        self.line_up(tenant);
        self.forget_pool(left);
    }

    /// Serves a pool with what it has, for a while; where that is nothing, its callers are refused.
    pub(super) fn make_do(&mut self, pool: PoolId, now: Instant, actions: &mut Vec<Action<C, W>>) {
        let state = self.pools.get_mut(&pool).filter(|state| state.size() > 0);
        let Some(state) = state else { return self.refuse_for_now(pool, now, actions) };
        state.ceiling = Some((state.size(), now + self.limits.ceiling));
        actions.push(Action::Wake { after: self.limits.ceiling });
    }

    /// Tells those who wait for a pool that there will be nothing, and those who come in the next moments.
    pub(super) fn refuse_for_now(&mut self, pool: PoolId, now: Instant, actions: &mut Vec<Action<C, W>>) {
        if let Some(state) = self.pools.get_mut(&pool) {
            state.refused_until = Some(now + jittered(self.limits.refusal));
        }
        self.refuse_all(Some(pool), Refusal::Refused, actions);
    }

    /// Tells all who wait, or those of one pool, that there will be nothing.
    pub(super) fn refuse_all(&mut self, of: Option<PoolId>, why: Refusal, actions: &mut Vec<Action<C, W>>) {
        let tenants: Vec<TenantId> = self
            .tenants
            .iter()
            .filter(|(_, tenant)| !tenant.waiting.is_empty() && of.is_none_or(|pool| tenant.pool == pool))
            .map(|(id, _)| *id)
            .collect();
        for id in tenants {
            if let Some(tenant) = self.tenants.get_mut(&id) {
                let waiting = tenant.waiting.dismiss();
                actions.extend(waiting.map(|to| Action::Refuse { to, why }));
            }
            self.line_up(id);
            self.forget(id);
        }
    }

    /// Whether the tenant holds more than what an even split of the budget would give it.
    pub(super) fn has_more_than_its_share(&self, tenant: TenantId) -> bool {
        let share = (self.budget / self.tenants.len().max(1)).max(1);
        self.tenants.get(&tenant).is_some_and(|tenant| tenant.held > share)
    }

    pub(super) fn hold(&mut self, pool: PoolId, tenant: TenantId) {
        if let Some(pool) = self.pools.get_mut(&pool) {
            pool.busy += 1;
        }
        if let Some(tenant) = self.tenants.get_mut(&tenant) {
            tenant.held += 1;
        }
        self.line_up(tenant);
    }

    pub(super) fn let_go(&mut self, pool: PoolId, tenant: TenantId) {
        if let Some(pool) = self.pools.get_mut(&pool) {
            pool.busy -= 1;
        }
        if let Some(tenant) = self.tenants.get_mut(&tenant) {
            tenant.held -= 1;
        }
        self.line_up(tenant);
    }

    pub(super) fn no_longer_opening(&mut self, pool: PoolId, tenant: TenantId) {
        self.opening -= 1;
        if let Some(pool) = self.pools.get_mut(&pool) {
            (pool.busy, pool.opening) = (pool.busy - 1, pool.opening - 1);
        }
        if let Some(tenant) = self.tenants.get_mut(&tenant) {
            tenant.opening -= 1;
        }
        self.line_up(tenant);
    }

    /// A tenant stands in the line exactly while it has a caller that waits and holds less than it may.
    pub(super) fn line_up(&mut self, id: TenantId) {
        let limits = self.limits;
        let Some(tenant) = self.tenants.get_mut(&id) else { return };
        let most = limits.of(tenant.keeps);
        let may_be_served = !tenant.waiting.is_empty() && tenant.held < most;
        match tenant.turn {
            None if may_be_served => tenant.turn = Some(self.line.join(id, tenant.pool)),
            Some(turn) if !may_be_served => {
                self.line.leave(turn);
                tenant.turn = None;
            }
            _ => {}
        }
    }

    /// The tenant has had its turn.
    fn go_to_the_end(&mut self, id: TenantId) {
        if let Some(tenant) = self.tenants.get_mut(&id)
            && let Some(turn) = tenant.turn
        {
            self.line.leave(turn);
            tenant.turn = Some(self.line.join(id, tenant.pool));
        }
    }

    /// Keeps no record of a tenant that has nothing and wants nothing.
    pub(super) fn forget(&mut self, id: TenantId) {
        let Some(tenant) = self.tenants.get(&id) else { return };
        if tenant.held == 0 && tenant.opening == 0 && tenant.waiting.is_empty() {
            let pool = tenant.pool;
            self.tenants.remove(&id);
            self.forget_pool(pool);
        }
    }

    pub(super) fn forget_pool(&mut self, id: PoolId) {
        let is_done = |pool: &Pool<C>| pool.idle.is_empty() && pool.busy == 0 && pool.refused_until.is_none();
        if self.pools.get(&id).is_some_and(is_done) {
            self.pools.remove(&id);
        }
    }
}
