//! The rings of tenants with work, shared between those who bring work and those who do it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rowhouse_domain::TenantId;
use tokio::sync::Notify;

use super::turns::{Reason, Turns};

/// Tells the workers that a tenant has work. Cheap to clone, never blocks, never fails: a tenant that there is no room
/// for is found by its mark a moment later.
#[derive(Clone)]
pub struct Nudge {
    /// Everything but usage.
    pub(super) jobs: Ring,
    /// Usage has workers of its own: what is reserved becomes used however long files take to be read.
    pub(super) usage: Ring,
    /// So has the end of uploads that came to nothing: what they reserved comes back.
    pub(super) ends: Ring,
    /// Tenants whose work could not be marked.
    unmarked: Arc<Mutex<HashSet<TenantId>>>,
}

impl Nudge {
    /// For workers that run `parallel` jobs at once: half of them may be one tenant's. Of the other workers a tenant has one.
    pub fn new(parallel: usize) -> Self {
        let jobs = Ring::new((parallel / 2).max(1));
        Self { jobs, usage: Ring::new(1), ends: Ring::new(1), unmarked: Arc::default() }
    }

    /// Has the tenant looked at now. To be called after the commit.
    pub fn tenant(&self, tenant: TenantId) {
        self.offer(tenant, Reason::default());
    }

    /// The mark, or whatever led here, is the business of the ring that looks at everything.
    pub(super) fn offer(&self, tenant: TenantId, reason: Reason) {
        self.usage.offer(tenant, Reason::default());
        if reason != Reason::default() {
            self.ends.offer(tenant, Reason::default());
        }
        self.jobs.offer(tenant, reason);
    }

    /// Whether marks wait for `saas_platform` to come back.
    pub(super) fn owes_marks(&self) -> bool {
        !self.unmarked().is_empty()
    }

    /// A mark could not be made.
    pub(super) fn owe_mark(&self, tenant: TenantId) {
        self.unmarked().insert(tenant);
    }

    /// The marks that are owed.
    pub(super) fn owed_marks(&self) -> Vec<TenantId> {
        self.unmarked().iter().copied().collect()
    }

    /// A mark was made.
    pub(super) fn mark_made(&self, tenant: TenantId) {
        self.unmarked().remove(&tenant);
    }

    fn unmarked(&self) -> MutexGuard<'_, HashSet<TenantId>> {
        self.unmarked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn waiting(&self) -> usize {
        self.jobs.waiting().max(self.usage.waiting()).max(self.ends.waiting())
    }

    pub(super) fn tidy(&self) {
        self.jobs.turns().tidy(Instant::now());
        self.usage.turns().tidy(Instant::now());
        self.ends.turns().tidy(Instant::now());
    }
}

/// How long labels and usage events of a tenant are left to gather once some were dealt with: many at once cost little more than
/// one. What comes after a pause as long as this is dealt with at once; other jobs of the tenant that come meanwhile wait as well.
const GATHERING: Duration = Duration::from_millis(200);

/// One ring. Cheap to clone.
#[derive(Clone)]
pub(super) struct Ring(Arc<Shared>);

struct Shared {
    turns: Mutex<Turns>,
    /// One permit at most is kept, so whoever is woken wakes the next one while there is more.
    ready: Notify,
}

impl Ring {
    fn new(per_tenant: usize) -> Self {
        Self(Arc::new(Shared { turns: Mutex::new(Turns::new(per_tenant)), ready: Notify::new() }))
    }

    pub(super) fn offer(&self, tenant: TenantId, reason: Reason) {
        if self.turns().offer(tenant, reason, Instant::now()) {
            self.0.ready.notify_one();
        }
    }

    /// Waits for a tenant's turn to come.
    pub(super) async fn take(&self) -> (TenantId, Reason) {
        loop {
            let (turn, more) = {
                let mut turns = self.turns();
                (turns.take(), turns.waiting() > 0)
            };
            match turn {
                Some(turn) => {
                    if more {
                        self.0.ready.notify_one();
                    }
                    return turn;
                }
                None => self.0.ready.notified().await,
            }
        }
    }

    pub(super) fn end(&self, tenant: TenantId) {
        if self.turns().end(tenant, Instant::now()) {
            self.0.ready.notify_one();
        }
    }

    /// Lets what comes of a tenant gather for a moment.
    pub(super) fn gather(&self, tenant: TenantId) {
        if !self.turns().rest(tenant) {
            return;
        }
        let ring = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(GATHERING).await;
            if ring.turns().wake(tenant, Instant::now()) {
                ring.0.ready.notify_one();
            }
        });
    }

    pub(super) fn leave(&self, tenant: TenantId, pause: Duration) {
        self.turns().leave(tenant, pause, Instant::now());
    }

    pub(super) fn is_sweep_overdue(&self, tenant: TenantId, period: Duration) -> bool {
        self.turns().is_sweep_overdue(tenant, period, Instant::now())
    }

    fn waiting(&self) -> usize {
        self.turns().waiting()
    }

    /// Held for a few map operations at a time, never across an await.
    fn turns(&self) -> MutexGuard<'_, Turns> {
        // The ring is whole between any two operations, also after a panic in one.
        self.0.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_after_a_turn_gathers_and_has_one_turn() {
        let (ring, tenant) = (Ring::new(1), TenantId::new());
        ring.offer(tenant, Reason::default());
        ring.take().await;
        let begun = Instant::now();
        ring.gather(tenant);
        ring.end(tenant);
        for _ in 0..3 {
            ring.offer(tenant, Reason::default());
        }
        ring.take().await;
        assert!(begun.elapsed() >= GATHERING, "it did not wait for others");
        ring.end(tenant);
        assert_eq!(ring.waiting(), 0, "they had more than one turn");
        // Nothing came for a while: nobody waits.
        ring.offer(tenant, Reason::default());
        assert_eq!(ring.waiting(), 1);
    }
}
