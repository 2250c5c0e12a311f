//! Counts the answers of tenants whose schema a run of migrations tries a version out on, and tells `saas_platform` of them.
//!
//! Nothing is counted for anybody else: where no run watches its canaries, a request costs one look at a flag.

mod store;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rowhouse_database::PlatformPool;
use rowhouse_domain::TenantId;
use rowhouse_problem::Result;

/// How long a canary may go uncounted, and its counts unheard. A run watches for many times as long.
const PERIOD: Duration = Duration::from_secs(1);

/// The answers to canaries that were not told of yet.
#[derive(Default)]
pub struct Canaries {
    are_there_any: AtomicBool,
    watched: RwLock<HashMap<TenantId, Arc<Counts>>>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    errors: AtomicU64,
}

impl Canaries {
    /// Counts an answer to a tenant. An error is one of ours: what the tenant did wrong is none.
    pub fn count(&self, tenant: Option<TenantId>, status: u16) {
        if !self.are_there_any.load(Ordering::Relaxed) {
            return;
        }
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = tenant.and_then(|tenant| watched.get(&tenant)) {
            counts.requests.fetch_add(1, Ordering::Relaxed);
            counts.errors.fetch_add(u64::from(status >= 500), Ordering::Relaxed);
        }
    }

    /// Learns of canaries and tells of what was counted, for as long as the process lives.
    pub(crate) async fn watch(self: Arc<Self>, platform: PlatformPool) {
        loop {
            if let Err(error) = self.look(&platform).await {
                tracing::debug!(error = error.chain(), "the canaries of a run could not be told of");
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn look(&self, platform: &PlatformPool) -> Result<()> {
        let connection = platform.get().await?;
        let wanted = store::watched(&connection).await?;
        let counted = self.exchange(&wanted);
        if counted.is_empty() { Ok(()) } else { store::add(&connection, &counted).await }
    }

    /// Watches these from now on, and gives what was counted of those before. Where telling fails it is lost: a few answers of
    /// one process.
    fn exchange(&self, wanted: &[TenantId]) -> Vec<Counted> {
        let mut watched = self.watched.write().unwrap_or_else(PoisonError::into_inner);
        let counted = watched
            .iter()
            .map(|(tenant, counts)| Counted {
                tenant: *tenant,
                requests: counts.requests.swap(0, Ordering::Relaxed),
                errors: counts.errors.swap(0, Ordering::Relaxed),
            })
            .filter(|counted| counted.requests > 0)
            .collect();
        watched.retain(|tenant, _| wanted.contains(tenant));
        for tenant in wanted {
            watched.entry(*tenant).or_default();
        }
        self.are_there_any.store(!watched.is_empty(), Ordering::Relaxed);
        counted
    }
}

/// What was counted of a tenant.
#[derive(Debug, PartialEq, Eq)]
struct Counted {
    tenant: TenantId,
    requests: u64,
    errors: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canaries_are_counted_and_each_answer_once() {
        let (canaries, one, other) = (Canaries::default(), TenantId::new(), TenantId::new());
        canaries.count(Some(one), 500);
        assert_eq!(canaries.exchange(&[one]), []);
        for (tenant, status) in [(Some(one), 200), (Some(one), 404), (Some(one), 503), (Some(other), 500), (None, 500)]
        {
            canaries.count(tenant, status);
        }
        assert_eq!(canaries.exchange(&[other]), [Counted { tenant: one, requests: 3, errors: 1 }]);
        canaries.count(Some(one), 500);
        assert_eq!(canaries.exchange(&[]), []);
    }
}
