//! What threads share: the real thing, or loom's, whose steps it can put in any order.

#[cfg(loom)]
pub(crate) use loom::sync::RwLock;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::RwLock;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use std::sync::Arc;
use uuid::Uuid;

/// A counter of many holders.
pub(crate) type Counter = Arc<AtomicU64>;

/// Counters by what they count for.
#[cfg(not(loom))]
#[derive(Default)]
pub(crate) struct Counters(dashmap::DashMap<Uuid, Counter>);

#[cfg(not(loom))]
impl Counters {
    pub(crate) fn get(&self, id: Uuid) -> Option<Counter> {
        self.0.get(&id).map(|counter| Arc::clone(&counter))
    }

    pub(crate) fn get_or_make(&self, id: Uuid) -> Counter {
        Arc::clone(self.0.entry(id).or_default().value())
    }

    /// Drops those that nobody else holds.
    pub(crate) fn drop_unheld(&self) {
        // Under the map's lock, so that nobody takes hold of one meanwhile.
        self.0.retain(|_, counter| Arc::strong_count(counter) > 1);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The same under a lock that loom knows.
#[cfg(loom)]
#[derive(Default)]
pub(crate) struct Counters(loom::sync::Mutex<std::collections::HashMap<Uuid, Counter>>);

#[cfg(loom)]
impl Counters {
    pub(crate) fn get(&self, id: Uuid) -> Option<Counter> {
        self.lock().get(&id).map(Arc::clone)
    }

    pub(crate) fn get_or_make(&self, id: Uuid) -> Counter {
        Arc::clone(self.lock().entry(id).or_default())
    }

    pub(crate) fn drop_unheld(&self) {
        self.lock().retain(|_, counter| Arc::strong_count(counter) > 1);
    }

    fn lock(&self) -> loom::sync::MutexGuard<'_, std::collections::HashMap<Uuid, Counter>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
