//! One small pool a tenant, made at its first request and closed when it falls idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use deadpool::Runtime;
use rowhouse_domain::{ClusterId, TenantId};
use rowhouse_keys::MasterKey;
use rowhouse_problem::{Error, Result};
use rowhouse_settings as settings;
use secrecy::ExposeSecret;

use super::budget::{Admission, Budget};
use super::connection::TenantConnection;
use super::identity::Identity;
use super::placement::{ActivePlacement, Placement};
use crate::error::from_pool;
use crate::link::{LinkManager, connection_config, pool_timeouts};
use crate::session::{LinkPool, Session};
use crate::tls::Tls;

/// How connections of the data plane are named in `pg_stat_activity`.
const APPLICATION: &str = "rowhouse_data_plane";

/// The only way to tenant data.
#[derive(Clone)]
pub struct TenantPools(Arc<Inner>);

pub(crate) struct Inner {
    settings: settings::Pools,
    tls: Tls,
    master: Arc<MasterKey>,
    started: Instant,
    budgets: DashMap<ClusterId, Arc<Budget>>,
    tenants: DashMap<TenantId, Arc<TenantPool>>,
}

/// The pool of one tenant.
struct TenantPool {
    pool: LinkPool,
    placement: Placement,
    /// Milliseconds since the pools were made.
    last_used: AtomicU64,
}

impl TenantPools {
    /// Pools without a connection yet.
    pub fn new(settings: settings::Pools, tls: Tls, master: Arc<MasterKey>) -> Self {
        Self(Arc::new(Inner {
            settings,
            tls,
            master,
            started: Instant::now(),
            budgets: DashMap::new(),
            tenants: DashMap::new(),
        }))
    }

    /// Borrows a connection that is pinned to the tenant.
    ///
    /// # Errors
    /// Unavailable, where the cluster does not answer or is out of room for `pools.checkout_timeout`.
    pub async fn checkout(&self, placement: &ActivePlacement) -> Result<TenantConnection> {
        let tenant = self.0.pool(placement.get())?;
        tenant.last_used.store(self.0.now(), Ordering::Relaxed);
        let begun = Instant::now();
        let object = tenant.pool.get().await.map_err(from_pool)?;
        metrics::histogram!("rowhouse_checkout_seconds").record(begun.elapsed().as_secs_f64());
        let budget = self.0.budget(placement.get().server.cluster);
        let session = Session::new(object, move || budget.is_contended());
        Ok(TenantConnection::new(session, placement.get().tenant))
    }

    /// Closes a tenant's pool: connections in use end when they are returned.
    pub fn close(&self, tenant: TenantId) {
        if let Some((_, pool)) = self.0.tenants.remove(&tenant) {
            pool.pool.close();
        }
    }

    /// Closes everything.
    pub fn close_all(&self) {
        let tenants: Vec<TenantId> = self.0.tenants.iter().map(|entry| *entry.key()).collect();
        for tenant in tenants {
            self.close(tenant);
        }
    }

    /// Open connections of all tenants, and tenants that have a pool.
    pub fn load(&self) -> (usize, usize) {
        let connections = self.0.tenants.iter().map(|entry| entry.value().pool.status().size).sum();
        (connections, self.0.tenants.len())
    }

    /// Closes connections that idled for `pools.idle_timeout` or are too old, and pools without any; the
    /// pools themselves never do.
    pub fn close_idle(&self) {
        self.0.close_idle();
    }

    /// Calls [`Self::close_idle`] as often as needed, for as long as the future is polled.
    pub async fn keep_tidy(&self) {
        let pause = (self.0.settings.idle_timeout / 4).max(Duration::from_millis(100));
        loop {
            tokio::time::sleep(pause).await;
            self.close_idle();
            let (connections, tenants) = self.load();
            #[expect(clippy::cast_precision_loss, reason = "a gauge of connections")]
            {
                metrics::gauge!("rowhouse_tenant_connections").set(connections as f64);
                metrics::gauge!("rowhouse_tenant_pools").set(tenants as f64);
            }
        }
    }
}

impl Inner {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn budget(&self, cluster: ClusterId) -> Arc<Budget> {
        let make = || Arc::new(Budget::new(self.settings.cluster_budget));
        Arc::clone(self.budgets.entry(cluster).or_insert_with(make).value())
    }

    /// The tenant's pool, made now where there is none for this placement. The map's lock makes this a
    /// single flight, and no connection is opened under it.
    fn pool(self: &Arc<Self>, placement: &Placement) -> Result<Arc<TenantPool>> {
        if let Some(found) = self.tenants.get(&placement.tenant)
            && found.placement == *placement
        {
            return Ok(Arc::clone(&found));
        }
        let mut entry = match self.tenants.entry(placement.tenant) {
            dashmap::Entry::Occupied(entry) if entry.get().placement == *placement => {
                return Ok(Arc::clone(entry.get()));
            }
            dashmap::Entry::Occupied(entry) if entry.get().placement.generation > placement.generation => {
                return Err(Error::unavailable("the placement was read before the tenant moved"));
            }
            dashmap::Entry::Occupied(entry) => entry,
            dashmap::Entry::Vacant(entry) => {
                let made = self.make_pool(placement)?;
                return Ok(Arc::clone(entry.insert(made).value()));
            }
        };
        let made = self.make_pool(placement)?;
        let old = entry.insert(Arc::clone(&made));
        old.pool.close();
        Ok(made)
    }

    fn make_pool(self: &Arc<Self>, placement: &Placement) -> Result<Arc<TenantPool>> {
        let mut config = connection_config(
            &placement.server.host,
            placement.server.port,
            &placement.database,
            &placement.role,
            APPLICATION,
            self.settings.connect_timeout,
        );
        let password = placement.password(&self.master);
        config.password(password.expose_secret());
        let admission = Admission {
            budget: self.budget(placement.server.cluster),
            cluster: placement.server.cluster,
            pools: Arc::downgrade(self),
        };
        let identity =
            Identity { tenant: placement.tenant, database: placement.database.clone(), role: placement.role.clone() };
        let manager = LinkManager::new(config, &self.tls, self.settings.max_lifetime, Some((admission, identity)));
        let pool = LinkPool::builder(manager)
            .max_size(self.settings.per_tenant)
            .timeouts(pool_timeouts(self.settings.checkout_timeout, self.settings.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(Error::internal)?;
        Ok(Arc::new(TenantPool { pool, placement: placement.clone(), last_used: AtomicU64::new(self.now()) }))
    }

    /// Closes an idle connection of the cluster, that of the tenant used longest ago. Says whether there was one.
    pub(crate) fn close_one_idle(&self, cluster: ClusterId) -> bool {
        // The pool's own count of idle connections leaves out those that waiters have been promised, so each is asked.
        let mut candidates: Vec<(u64, Arc<TenantPool>)> = self
            .tenants
            .iter()
            .filter(|entry| entry.placement.server.cluster == cluster && entry.pool.status().size > 0)
            .map(|entry| (entry.last_used.load(Ordering::Relaxed), Arc::clone(entry.value())))
            .collect();
        candidates.sort_unstable_by_key(|(last_used, _)| *last_used);
        let closed = candidates.iter().any(|(_, tenant)| {
            let mut closed = false;
            tenant.pool.retain(|_, _| std::mem::replace(&mut closed, true));
            closed
        });
        if closed {
            metrics::counter!("rowhouse_idle_connections_evicted_total").increment(1);
        }
        closed
    }

    fn close_idle(&self) {
        let timeout = self.settings.idle_timeout;
        let tenants: Vec<(TenantId, Arc<TenantPool>)> =
            self.tenants.iter().map(|entry| (*entry.key(), Arc::clone(entry.value()))).collect();
        let deadline = self.now().saturating_sub(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        for (id, tenant) in tenants {
            tenant.pool.retain(|link, metrics| metrics.last_used() < timeout && !link.is_expired());
            self.tenants.remove_if(&id, |_, current| {
                let status = current.pool.status();
                status.size == 0 && status.waiting == 0 && current.last_used.load(Ordering::Relaxed) < deadline
            });
        }
    }
}
