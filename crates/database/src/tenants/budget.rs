//! The connections that a cluster may be burdened with, shared by all its tenants.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rowhouse_domain::ClusterId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pools::Inner;

/// How often a waiter looks for an idle connection to close.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A place in the budget, held for as long as the connection lives.
pub(crate) type Permit = OwnedSemaphorePermit;

/// The budget of one cluster. Waiting callers are served in the order of their coming.
pub(crate) struct Budget {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(size: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(size)), waiting: AtomicUsize::new(0) }
    }

    /// Whether anyone waits for a place.
    pub(crate) fn is_contended(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }
}

/// The way of one tenant's pool to a place in its cluster's budget.
pub(crate) struct Admission {
    pub(crate) budget: Arc<Budget>,
    pub(crate) cluster: ClusterId,
    /// Weak, because the pools own the pool that owns this.
    pub(crate) pools: Weak<Inner>,
}

impl Admission {
    /// Takes a place, closing the least recently used idle connection of the cluster where all are taken.
    pub(crate) async fn admit(&self) -> Permit {
        if let Ok(permit) = Arc::clone(&self.budget.places).try_acquire_owned() {
            return permit;
        }
        let _waiting = Waiting::begin(&self.budget.waiting);
        let mut place = pin!(Arc::clone(&self.budget.places).acquire_owned());
        loop {
            if let Some(pools) = self.pools.upgrade() {
                pools.close_one_idle(self.cluster);
            }
            tokio::select! {
                permit = &mut place => return permit.expect("the semaphore is never closed"),
                // A connection may have been returned between the look and the wait; nobody says so twice.
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }
}

/// Counts a waiter for as long as it waits, also when it gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
