//! Whose turn it is. Pure: every tenant with work stands in one ring, and a turn is one job, or as many labels or
//! as much usage as is dealt with at once.
//!
//! A tenant with a thousand jobs and one with a single job take turns, and no tenant holds every place at once: a
//! file that keeps its parser busy to the last second delays nobody but its own tenant.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rowhouse_domain::TenantId;

/// Tenants that the ring holds; more are left to the marks in `saas_platform`, where the next poll finds them.
const CAPACITY: usize = 10_000;

/// Why a tenant is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reason {
    /// The mark as it was when somebody read it. Nobody has looked into the tenant since, so finding nothing clears it.
    pub(super) generation: Option<i64>,
    /// Whether it is a look without a mark: what it finds for later must be marked.
    pub(super) is_sweep: bool,
}

impl Reason {
    fn and(self, other: Self) -> Self {
        Self {
            // The older one is always safe: a younger mark is not cleared by it.
            generation: self.generation.or(other.generation),
            is_sweep: self.is_sweep || other.is_sweep,
        }
    }
}

#[derive(Debug, Default)]
struct Standing {
    is_queued: bool,
    running: usize,
    /// Somebody asked while no further job of the tenant could be begun, or while it rested.
    is_wanted: bool,
    reason: Reason,
    /// After a failure to reach it.
    not_before: Option<Instant>,
    /// Whether what comes is to gather until somebody wakes it.
    is_resting: bool,
    /// Since when nothing but jobs was seen to, or the last time that something else was.
    busy_since: Option<Instant>,
}

/// The ring.
#[derive(Debug)]
pub(super) struct Turns {
    per_tenant: usize,
    ring: VecDeque<TenantId>,
    standing: HashMap<TenantId, Standing>,
}

impl Turns {
    /// An empty ring in which a tenant runs at most `per_tenant` jobs at once.
    pub(super) fn new(per_tenant: usize) -> Self {
        Self { per_tenant, ring: VecDeque::new(), standing: HashMap::new() }
    }

    /// Tenants that wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.ring.len()
    }

    /// Puts a tenant at the end of the ring, unless it stands there already. Says whether somebody can begin.
    pub(super) fn offer(&mut self, tenant: TenantId, reason: Reason, now: Instant) -> bool {
        if self.standing.len() >= CAPACITY && !self.standing.contains_key(&tenant) {
            return false;
        }
        let standing = self.standing.entry(tenant).or_default();
        if standing.not_before.is_some_and(|not_before| not_before > now) {
            return false;
        }
        standing.reason = standing.reason.and(reason);
        if standing.is_queued {
            return false;
        }
        if standing.is_resting || standing.running >= self.per_tenant {
            standing.is_wanted = true;
            return false;
        }
        standing.is_queued = true;
        self.ring.push_back(tenant);
        true
    }

    /// Takes the tenant whose turn it is.
    pub(super) fn take(&mut self) -> Option<(TenantId, Reason)> {
        let tenant = self.ring.pop_front()?;
        let standing = self.standing.entry(tenant).or_default();
        standing.is_queued = false;
        standing.running += 1;
        Some((tenant, std::mem::take(&mut standing.reason)))
    }

    /// Ends a turn. Says whether the tenant stands in the ring again because somebody asked meanwhile.
    pub(super) fn end(&mut self, tenant: TenantId, now: Instant) -> bool {
        let Some(standing) = self.standing.get_mut(&tenant) else { return false };
        standing.running = standing.running.saturating_sub(1);
        let is_wanted = std::mem::take(&mut standing.is_wanted);
        if is_wanted && self.offer(tenant, Reason::default(), now) {
            return true;
        }
        self.forget(tenant, now);
        false
    }

    /// Lets what comes of a tenant that has a turn gather until [`Self::wake`]; one that stands in the ring again is not put off. Says
    /// whether that begins now.
    pub(super) fn rest(&mut self, tenant: TenantId) -> bool {
        let Some(standing) = self.standing.get_mut(&tenant) else { return false };
        !std::mem::replace(&mut standing.is_resting, true)
    }

    /// Ends a rest. Says whether the tenant stands in the ring again because somebody asked meanwhile.
    pub(super) fn wake(&mut self, tenant: TenantId, now: Instant) -> bool {
        let Some(standing) = self.standing.get_mut(&tenant) else { return false };
        standing.is_resting = false;
        let is_wanted = std::mem::take(&mut standing.is_wanted);
        if is_wanted && self.offer(tenant, Reason::default(), now) {
            return true;
        }
        self.forget(tenant, now);
        false
    }

    /// Leaves a tenant alone for a while: it could not be reached.
    pub(super) fn leave(&mut self, tenant: TenantId, pause: Duration, now: Instant) {
        if let Some(standing) = self.standing.get_mut(&tenant) {
            standing.not_before = Some(now + pause);
            standing.is_wanted = false;
        }
    }

    /// Says whether a tenant whose turn it is has had nothing but jobs for so long that it is to be swept now, once. One without
    /// jobs is swept anyway, and forgotten.
    pub(super) fn is_sweep_overdue(&mut self, tenant: TenantId, period: Duration, now: Instant) -> bool {
        let Some(standing) = self.standing.get_mut(&tenant) else { return false };
        let is_overdue = now.duration_since(*standing.busy_since.get_or_insert(now)) >= period;
        if is_overdue {
            standing.busy_since = Some(now);
        }
        is_overdue
    }

    /// Lets go of tenants of which there is nothing to remember.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.standing.retain(|_, standing| {
            let is_at_it = standing.is_queued || standing.is_resting || standing.running > 0;
            is_at_it || standing.not_before.is_some_and(|not_before| not_before > now)
        });
    }

    fn forget(&mut self, tenant: TenantId, now: Instant) {
        if let Some(standing) = self.standing.get(&tenant)
            && !(standing.is_queued || standing.is_resting || standing.running > 0)
            && standing.not_before.is_none_or(|not_before| not_before <= now)
        {
            self.standing.remove(&tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(generation: i64) -> Reason {
        Reason { generation: Some(generation), is_sweep: false }
    }

    #[test]
    fn tenants_take_turns_and_stand_once() {
        let (now, one, other) = (Instant::now(), TenantId::new(), TenantId::new());
        let mut turns = Turns::new(2);
        assert!(turns.offer(one, Reason::default(), now));
        assert!(!turns.offer(one, marked(7), now));
        assert!(turns.offer(other, Reason::default(), now));
        assert_eq!(turns.take(), Some((one, marked(7))));
        // A job was found: the tenant goes to the end.
        assert!(turns.offer(one, marked(7), now));
        assert_eq!(turns.take().map(|turn| turn.0), Some(other));
        assert_eq!(turns.take(), Some((one, marked(7))));
        assert_eq!(turns.take(), None);
    }

    #[test]
    fn a_tenant_never_holds_more_than_its_places() {
        let (now, tenant) = (Instant::now(), TenantId::new());
        let mut turns = Turns::new(1);
        turns.offer(tenant, Reason::default(), now);
        turns.take();
        assert!(!turns.offer(tenant, marked(3), now));
        assert_eq!(turns.take(), None);
        assert!(turns.end(tenant, now), "the question asked meanwhile is not lost");
        assert_eq!(turns.take(), Some((tenant, marked(3))));
        assert!(!turns.end(tenant, now));
        assert!(turns.standing.is_empty());
    }

    #[test]
    fn a_tenant_out_of_reach_is_left_alone_for_a_while() {
        let (now, tenant) = (Instant::now(), TenantId::new());
        let mut turns = Turns::new(2);
        turns.offer(tenant, Reason::default(), now);
        turns.take();
        turns.leave(tenant, Duration::from_secs(5), now);
        turns.end(tenant, now);
        assert!(!turns.offer(tenant, Reason::default(), now));
        assert!(turns.offer(tenant, Reason::default(), now + Duration::from_secs(6)));
    }

    #[test]
    fn what_comes_while_a_tenant_rests_has_its_turn_afterwards() {
        let (now, tenant) = (Instant::now(), TenantId::new());
        let mut turns = Turns::new(1);
        turns.offer(tenant, Reason::default(), now);
        turns.take();
        assert!(turns.rest(tenant) && !turns.rest(tenant), "it rests once at a time");
        turns.offer(tenant, marked(3), now);
        assert!(!turns.end(tenant, now));
        assert!(!turns.offer(tenant, Reason::default(), now));
        assert_eq!(turns.take(), None);
        assert!(turns.wake(tenant, now));
        assert_eq!(turns.take(), Some((tenant, marked(3))));
        // Nobody asked.
        assert!(turns.rest(tenant));
        assert!(!turns.end(tenant, now) && !turns.wake(tenant, now));
        assert!(turns.standing.is_empty());
    }

    #[test]
    fn a_tenant_that_always_has_jobs_is_swept_once_a_period() {
        let (mut now, tenant, period) = (Instant::now(), TenantId::new(), Duration::from_secs(60));
        let mut turns = Turns::new(2);
        turns.offer(tenant, Reason::default(), now);
        let mut swept = Vec::new();
        for second in 0..150 {
            turns.take();
            turns.offer(tenant, Reason::default(), now);
            if turns.is_sweep_overdue(tenant, period, now) {
                swept.push(second);
            }
            turns.end(tenant, now);
            now += Duration::from_secs(1);
        }
        assert_eq!(swept, [60, 120]);
        // It begins anew after a look that found no job.
        turns.take();
        turns.end(tenant, now);
        turns.offer(tenant, Reason::default(), now);
        turns.take();
        assert!(!turns.is_sweep_overdue(tenant, period, now + period));
    }

    #[test]
    fn the_ring_is_bounded() {
        let now = Instant::now();
        let mut turns = Turns::new(1);
        let taken = (0..CAPACITY + 5).filter(|_| turns.offer(TenantId::new(), Reason::default(), now)).count();
        assert_eq!((taken, turns.waiting()), (CAPACITY, CAPACITY));
    }
}
