//! How many of something costly run at once, uploads and archives: in the process, and of one tenant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rowhouse_domain::TenantId;
use rowhouse_problem::{Code, Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long somebody waits for a turn before being told to come back.
const PATIENCE: Duration = Duration::from_secs(2);
/// When to come back.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Tenants that are remembered before those that hold no place are forgotten.
const REMEMBERED: usize = 1024;

/// The places that there are for something. Cheap to clone.
#[derive(Clone)]
pub struct Slots(Arc<Inner>);

struct Inner {
    what: &'static str,
    all: Arc<Semaphore>,
    per_tenant: usize,
    tenants: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
}

/// A place; it is free again when this is dropped.
pub(crate) struct Slot {
    _tenant: OwnedSemaphorePermit,
    _process: OwnedSemaphorePermit,
}

impl Slots {
    /// `parallel` places for `what` (`uploads`), of which a tenant may have a quarter.
    pub fn new(what: &'static str, parallel: usize) -> Self {
        let parallel = parallel.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            what,
            all: Arc::new(Semaphore::new(parallel)),
            per_tenant: (parallel / 4).max(1),
            tenants: Mutex::default(),
        }))
    }

    /// Takes a place, after waiting for a moment where there is none.
    ///
    /// # Errors
    /// `unavailable`, where there is none for longer than that.
    pub(crate) async fn enter(&self, tenant: TenantId) -> Result<Slot> {
        let places = async {
            // The tenant's own first: who waits for that takes nothing from others.
            let tenant = self.of(tenant).acquire_owned().await.map_err(Error::internal)?;
            let process = Arc::clone(&self.0.all).acquire_owned().await.map_err(Error::internal)?;
            Ok(Slot { _tenant: tenant, _process: process })
        };
        tokio::time::timeout(PATIENCE, places).await.unwrap_or_else(|_| {
            let what = self.0.what;
            metrics::counter!("rowhouse_turned_away_total", "what" => what).increment(1);
            let detail = format!("Too many {what} are under way. Try again in a moment, with fewer at once.");
            Err(Error::new(Code::Unavailable, detail).retry_after(RETRY_AFTER))
        })
    }

    fn of(&self, tenant: TenantId) -> Arc<Semaphore> {
        let mut tenants = self.0.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() >= REMEMBERED {
            // Whoever is in, or waits, holds one more.
            tenants.retain(|_, places| Arc::strong_count(places) > 1);
        }
        Arc::clone(tenants.entry(tenant).or_insert_with(|| Arc::new(Semaphore::new(self.0.per_tenant))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenant_leaves_room_for_others() {
        let (slots, busy, other) = (Slots::new("uploads", 4), TenantId::new(), TenantId::new());
        let first = slots.enter(busy).await.ok().unwrap();
        let refused = slots.enter(busy).await.err().unwrap();
        assert_eq!((refused.code(), refused.retry_delay()), (Code::Unavailable, Some(RETRY_AFTER)));
        assert!(slots.enter(other).await.is_ok());
        drop(first);
        assert!(slots.enter(busy).await.is_ok());
    }
}
