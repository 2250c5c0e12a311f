//! One small pool a tenant, made at its first request and closed when it falls idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use deadpool::Runtime;
use deadpool::managed::QueueMode;
use rowhouse_domain::{ClusterId, GroupId, TenantId};
use rowhouse_keys::MasterKey;
use rowhouse_problem::{Error, Result};
use rowhouse_settings as settings;
use secrecy::ExposeSecret;

use super::budget::{Admission, Budget};
use super::connection::{Pin, TenantConnection};
use super::group::Neighbours;
use super::identity::Identity;
use super::placement::{ActivePlacement, Credential, Placement};
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
    /// How clusters are reached that name no authority of their own.
    tls: Tls,
    master: Arc<MasterKey>,
    started: Instant,
    budgets: DashMap<ClusterId, Arc<Budget>>,
    pools: DashMap<Key, Arc<TenantPool>>,
}

/// Whose pool it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    /// A tenant's with a login of its own.
    Tenant(TenantId),
    /// That of all tenants of a shared database.
    Group(GroupId),
}

impl Key {
    fn of(placement: &Placement) -> Self {
        match placement.credential {
            Credential::Tenant { .. } => Self::Tenant(placement.tenant),
            Credential::Group { group, .. } => Self::Group(group),
        }
    }
}

/// The pool of one tenant, or of the tenants of one shared database.
struct TenantPool {
    pool: LinkPool,
    /// That of the tenant that it was made for.
    placement: Placement,
    /// Where tenants share it.
    neighbours: Option<Neighbours>,
    /// Milliseconds since the pools were made.
    last_used: AtomicU64,
}

impl TenantPool {
    /// Whether the pool leads to where the placement says.
    fn serves(&self, placement: &Placement) -> bool {
        match placement.credential {
            Credential::Tenant { .. } => self.placement == *placement,
            Credential::Group { .. } => {
                let ours = &self.placement;
                (&ours.server, &ours.database, &ours.schema, &ours.role, ours.credential)
                    == (
                        &placement.server,
                        &placement.database,
                        &placement.schema,
                        &placement.role,
                        placement.credential,
                    )
            }
        }
    }

    /// Whether the pool was made from a later reading of the same tenant's placement.
    fn is_newer_than(&self, placement: &Placement) -> bool {
        self.neighbours.is_none() && self.placement.generation > placement.generation
    }
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
            pools: DashMap::new(),
        }))
    }

    /// Borrows a connection that is pinned to the tenant.
    ///
    /// # Errors
    /// Unavailable, where the cluster does not answer or is out of room for `pools.checkout_timeout`.
    pub async fn checkout(&self, placement: &ActivePlacement) -> Result<TenantConnection> {
        let placement = placement.get();
        let tenant = self.0.pool(placement)?;
        tenant.last_used.store(self.0.now(), Ordering::Relaxed);
        let begun = Instant::now();
        let pin = match &tenant.neighbours {
            None => Pin::Login,
            Some(neighbours) => {
                let turn = tokio::time::timeout(self.0.settings.checkout_timeout, neighbours.admit(placement.tenant));
                Pin::Transaction { _share: turn.await.map_err(Error::unavailable)?? }
            }
        };
        let object = tenant.pool.get().await.map_err(from_pool)?;
        metrics::histogram!("rowhouse_checkout_seconds").record(begun.elapsed().as_secs_f64());
        let budget = self.0.budget(placement.server.cluster);
        let session = Session::new(object, move || budget.is_contended());
        let connection = TenantConnection::new(session, placement.tenant, pin);
        if let Some(neighbours) = &tenant.neighbours {
            neighbours.identify(&connection, placement.generation).await?;
        }
        Ok(connection)
    }

    /// Closes a tenant's pool: connections in use end when they are returned. Where tenants share one, it stays for the
    /// others, and what is known of this tenant is forgotten.
    pub fn close(&self, tenant: TenantId) {
        if let Some((_, pool)) = self.0.pools.remove(&Key::Tenant(tenant)) {
            pool.pool.close();
        }
        for entry in &self.0.pools {
            if let Some(neighbours) = &entry.value().neighbours {
                neighbours.forget(tenant);
            }
        }
    }

    /// Closes everything.
    pub fn close_all(&self) {
        self.0.pools.retain(|_, pool| {
            pool.pool.close();
            false
        });
    }

    /// Open connections of all tenants, and tenants that have a pool.
    pub fn load(&self) -> (usize, usize) {
        let connections = self.0.pools.iter().map(|entry| entry.value().pool.status().size).sum();
        (connections, self.0.pools.len())
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

    /// The pool that serves the placement, made now where there is none. The map's lock makes this a
    /// single flight, and no connection is opened under it.
    fn pool(self: &Arc<Self>, placement: &Placement) -> Result<Arc<TenantPool>> {
        let key = Key::of(placement);
        if let Some(found) = self.pools.get(&key)
            && found.serves(placement)
        {
            return Ok(Arc::clone(&found));
        }
        let mut entry = match self.pools.entry(key) {
            dashmap::Entry::Occupied(entry) if entry.get().serves(placement) => {
                return Ok(Arc::clone(entry.get()));
            }
            dashmap::Entry::Occupied(entry) if entry.get().is_newer_than(placement) => {
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
        let tls = Tls::of_server(&placement.server.tls, &self.tls).map_err(Error::unavailable)?;
        let tenant = Some((admission, Identity::of(placement)));
        let manager = LinkManager::new(config, &tls, self.settings.max_lifetime, tenant);
        let (size, neighbours) = match Key::of(placement) {
            Key::Tenant(_) => (self.settings.per_tenant, None),
            // Bounded by the cluster's budget, and each tenant by its share.
            Key::Group(_) => (self.settings.cluster_budget, Some(Neighbours::new(self.settings.per_tenant))),
        };
        let pool = LinkPool::builder(manager)
            .max_size(size)
            .queue_mode(QueueMode::Lifo)
            .timeouts(pool_timeouts(self.settings.checkout_timeout, self.settings.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(Error::internal)?;
        let last_used = AtomicU64::new(self.now());
        Ok(Arc::new(TenantPool { pool, placement: placement.clone(), neighbours, last_used }))
    }

    /// Closes an idle connection of the cluster, that of the tenant used longest ago. Says whether there was one.
    pub(crate) fn close_one_idle(&self, cluster: ClusterId) -> bool {
        // The pool's own count of idle connections leaves out those that waiters have been promised, so each is asked.
        let mut candidates: Vec<(u64, Arc<TenantPool>)> = self
            .pools
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
        let pools: Vec<(Key, Arc<TenantPool>)> =
            self.pools.iter().map(|entry| (*entry.key(), Arc::clone(entry.value()))).collect();
        let deadline = self.now().saturating_sub(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        for (key, tenant) in pools {
            tenant.pool.retain(|link, metrics| metrics.last_used() < timeout && !link.is_expired());
            self.pools.remove_if(&key, |_, current| {
                let status = current.pool.status();
                status.size == 0 && status.waiting == 0 && current.last_used.load(Ordering::Relaxed) < deadline
            });
        }
    }
}
