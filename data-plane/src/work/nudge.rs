//! The ring of tenants with work, shared between those who bring work and those who do it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rowhouse_domain::TenantId;
use tokio::sync::Notify;

use super::turns::{Reason, Turns};

/// Tells the worker that a tenant has work. Cheap to clone, never blocks, never fails: a tenant that it has no room
/// for is found by its mark a moment later.
#[derive(Clone)]
pub struct Nudge(Arc<Shared>);

struct Shared {
    turns: Mutex<Turns>,
    /// One permit at most is kept, so whoever is woken wakes the next one while there is more.
    ready: Notify,
}

impl Nudge {
    /// For a worker that runs `parallel` jobs at once: half of them may be one tenant's.
    pub fn new(parallel: usize) -> Self {
        Self(Arc::new(Shared { turns: Mutex::new(Turns::new((parallel / 2).max(1))), ready: Notify::new() }))
    }

    /// Has the tenant looked at now. To be called after the commit.
    pub fn tenant(&self, tenant: TenantId) {
        self.offer(tenant, Reason::default());
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

    pub(super) fn leave(&self, tenant: TenantId, pause: Duration) {
        self.turns().leave(tenant, pause, Instant::now());
    }

    pub(super) fn waiting(&self) -> usize {
        self.turns().waiting()
    }

    pub(super) fn tidy(&self) {
        self.turns().tidy(Instant::now());
    }

    /// Held for a few map operations at a time, never across an await.
    fn turns(&self) -> MutexGuard<'_, Turns> {
        // The ring is whole between any two operations, also after a panic in one.
        self.0.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
