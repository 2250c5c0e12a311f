//! The way to every tenant's data.

use std::convert::identity;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use rowhouse_domain::{ClusterId, GroupId, TenantId};
use rowhouse_keys::MasterKey;
use rowhouse_problem::{Error, Result};
use rowhouse_settings as settings;
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::sync::Notify;

use super::cluster::Cluster;
use super::connection::TenantConnection;
use super::door::{Door, Way};
use super::drivers::{Drivers, Driving};
use super::group::Neighbours;
use super::identity::Identity;
use super::lease::Replica;
use super::ledger::{PoolId, Snapshot, TenantLoad};
use super::loan::Loan;
use super::placement::{ActivePlacement, Credential, Placement};
use crate::link::{SERVER_KEEPALIVES, connection_config};
use crate::session::{Held, Session};
use crate::tls::Tls;

/// How connections that are not leased are named in `pg_stat_activity`.
const APPLICATION: &str = "rowhouse_data_plane";

/// Tenants of a cluster that have gauges of their own.
const BUSIEST: usize = 10;

/// The only way to tenant data.
#[derive(Clone)]
pub struct TenantPools(Arc<Inner>);

struct Inner {
    settings: settings::Pools,
    /// How clusters are reached that name no authority of their own.
    tls: Tls,
    master: Arc<MasterKey>,
    started: Instant,
    clusters: DashMap<ClusterId, Arc<Cluster>>,
    drivers: Arc<Drivers>,
    pools: DashMap<Key, Arc<TenantPool>>,
    next_pool: AtomicU64,
    /// Whose leases bound the connections; without one the setting does.
    replica: Option<Replica>,
    /// Says that a cluster was used for the first time.
    first_seen: Notify,
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
    door: Arc<Door>,
    cluster: Arc<Cluster>,
    /// That of the tenant that it was made for.
    placement: ActivePlacement,
    /// Where tenants share it.
    neighbours: Option<Neighbours>,
    /// Milliseconds since the pools were made.
    last_used: AtomicU64,
}

impl TenantPool {
    /// Whether the pool leads to where the placement says.
    fn serves(&self, placement: &ActivePlacement) -> bool {
        if self.placement.is_same(placement) {
            return true;
        }
        let (ours, theirs) = (self.placement.get(), placement.get());
        match theirs.credential {
            Credential::Tenant { .. } => ours == theirs,
            Credential::Group { .. } => {
                (&ours.server, &ours.database, &ours.schema, &ours.role, ours.credential)
                    == (&theirs.server, &theirs.database, &theirs.schema, &theirs.role, theirs.credential)
            }
        }
    }

    /// Whether the pool was made from a later reading of the same tenant's placement.
    fn is_newer_than(&self, placement: &Placement) -> bool {
        self.neighbours.is_none() && self.placement.get().generation > placement.generation
    }

    fn retire(&self) {
        self.cluster.retire(&self.door);
    }
}

/// How the connections of one cluster stand.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterLoad {
    /// The cluster.
    pub cluster: ClusterId,
    /// All of it.
    #[serde(flatten)]
    pub connections: Snapshot,
    /// The tenants that keep it busiest now.
    pub busiest: Vec<TenantLoad>,
}

impl ClusterLoad {
    /// Sets the gauges. A tenant has one only while it is among the busiest: the recorder forgets those that are not set.
    #[expect(clippy::cast_precision_loss, reason = "gauges of connections")]
    fn publish(&self) {
        let (cluster, all) = (self.cluster.to_string(), &self.connections);
        for (state, count) in
            [("in_use", all.in_use), ("idle", all.idle), ("opening", all.opening), ("closing", all.closing)]
        {
            metrics::gauge!("rowhouse_connections", "cluster" => cluster.clone(), "state" => state).set(count as f64);
        }
        for (name, value) in [
            ("rowhouse_connections_budget", all.budget),
            ("rowhouse_connections_waiting", all.waiting),
            ("rowhouse_connections_waiting_tenants", all.tenants_waiting),
            ("rowhouse_pools", all.pools),
            ("rowhouse_cluster_refusing", usize::from(all.is_refusing)),
        ] {
            metrics::gauge!(name, "cluster" => cluster.clone()).set(value as f64);
        }
        metrics::counter!("rowhouse_connections_evicted_total", "cluster" => cluster.clone()).absolute(all.evicted);
        for load in &self.busiest {
            let labels = [("cluster", cluster.clone()), ("tenant", load.tenant.to_string())];
            metrics::gauge!("rowhouse_tenant_connections", &labels).set(load.in_use as f64);
            metrics::gauge!("rowhouse_tenant_waiting", &labels).set(load.waiting as f64);
        }
    }
}

impl TenantPools {
    /// Pools without a connection yet, of a process that has `pools.cluster_budget` connections of each cluster for itself.
    pub fn new(settings: settings::Pools, tls: Tls, master: Arc<MasterKey>) -> Self {
        Self::of(settings, tls, master, None)
    }

    /// Pools of a replica that shares each cluster's budget with others. There is no connection before
    /// [`Self::keep_leases`] is polled.
    pub fn leased(settings: settings::Pools, tls: Tls, master: Arc<MasterKey>, replica: Replica) -> Self {
        Self::of(settings, tls, master, Some(replica))
    }

    fn of(settings: settings::Pools, tls: Tls, master: Arc<MasterKey>, replica: Option<Replica>) -> Self {
        Self(Arc::new(Inner {
            settings,
            tls,
            master,
            started: Instant::now(),
            clusters: DashMap::new(),
            drivers: Arc::default(),
            pools: DashMap::new(),
            next_pool: AtomicU64::new(0),
            replica,
            first_seen: Notify::new(),
        }))
    }

    /// Borrows a connection that is pinned to the tenant.
    ///
    /// # Errors
    /// Unavailable, where the cluster does not answer or is out of room for `pools.checkout_timeout`.
    pub async fn checkout(&self, placement: &ActivePlacement) -> Result<TenantConnection> {
        self.0.lend(placement, identity).await
    }

    /// The same for work that no user waits for. A connection that is used for nothing else is the first to make room.
    ///
    /// # Errors
    /// The same.
    pub async fn checkout_in_background(&self, placement: &ActivePlacement) -> Result<TenantConnection> {
        self.0.lend(placement, Loan::in_background).await
    }

    /// Has connections driven by the runtime that this is called in, that of one thread that serves requests.
    pub fn drive_here(&self) -> Driving {
        self.0.drivers.join()
    }

    /// Closes a tenant's pool: connections in use end when they are returned. Where tenants share one, it stays for the
    /// others, and what is known of this tenant is forgotten.
    pub fn close(&self, tenant: TenantId) {
        if let Some((_, pool)) = self.0.pools.remove(&Key::Tenant(tenant)) {
            pool.retire();
        }
        for entry in &self.0.pools {
            if let Some(neighbours) = &entry.value().neighbours {
                neighbours.forget(tenant);
            }
        }
    }

    /// Closes everything.
    pub fn close_all(&self) {
        let pools: Vec<Arc<TenantPool>> = self.0.pools.iter().map(|entry| Arc::clone(entry.value())).collect();
        self.0.pools.clear();
        for pool in pools {
            pool.retire();
        }
    }

    /// Who this process is among those that lease connections; none where it leases none.
    pub fn replica(&self) -> Option<Replica> {
        self.0.replica.clone()
    }

    /// The most connections that this process may have to a cluster, whatever it is told.
    pub(super) fn most(&self) -> usize {
        self.0.settings.cluster_budget
    }

    pub(super) fn leased_clusters(&self) -> Vec<Arc<Cluster>> {
        self.0.clusters()
    }

    pub(super) fn first_seen(&self) -> &Notify {
        &self.0.first_seen
    }

    /// A tenant of a cluster who was served lately.
    pub(super) fn anybody_on(&self, cluster: ClusterId) -> Option<ActivePlacement> {
        let on_it = self.0.pools.iter().filter(|entry| entry.cluster.id == cluster);
        let latest = on_it.max_by_key(|entry| entry.last_used.load(Ordering::Relaxed));
        latest.map(|entry| entry.placement.clone())
    }

    /// Changes how many connections this process may have to a cluster. Those beyond it close: idle ones now, others when
    /// they come back.
    pub fn set_budget(&self, cluster: ClusterId, budget: usize) {
        self.0.cluster(cluster).set_budget(budget, None);
    }

    /// Open connections of all tenants, and tenants that have a pool.
    pub fn load(&self) -> (usize, usize) {
        let open = |cluster: Snapshot| cluster.in_use + cluster.idle + cluster.opening + cluster.closing;
        let connections = self.0.clusters().iter().map(|cluster| open(cluster.snapshot())).sum();
        (connections, self.0.pools.len())
    }

    /// How each cluster stands, with so many of its busiest tenants.
    pub fn loads(&self, busiest: usize) -> Vec<ClusterLoad> {
        let load = |cluster: &Arc<Cluster>| ClusterLoad {
            cluster: cluster.id,
            connections: cluster.snapshot(),
            busiest: cluster.busiest(busiest),
        };
        self.0.clusters().iter().map(load).collect()
    }

    /// Closes connections that idled for `pools.idle_timeout` or are too old, and pools without any; the
    /// pools themselves never do.
    pub fn close_idle(&self) {
        self.0.close_idle();
    }

    /// Calls [`Self::close_idle`] as often as needed, for as long as the future is polled.
    pub async fn keep_tidy(&self) {
        let pause = (self.0.settings.idle_timeout / 4).clamp(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            tokio::time::sleep(pause).await;
            self.close_idle();
            for load in self.loads(BUSIEST) {
                load.publish();
            }
        }
    }
}

impl Inner {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.clusters.iter().map(|entry| Arc::clone(entry.value())).collect()
    }

    fn cluster(&self, id: ClusterId) -> Arc<Cluster> {
        if let Some(known) = self.clusters.get(&id) {
            return Arc::clone(&known);
        }
        let budget = if self.replica.is_some() { 0 } else { self.settings.cluster_budget };
        let make = || Arc::new(Cluster::new(id, &self.settings, budget, Arc::clone(&self.drivers)));
        let cluster = Arc::clone(self.clusters.entry(id).or_insert_with(make).value());
        self.first_seen.notify_one();
        cluster
    }

    async fn lend(&self, placement: &ActivePlacement, on_terms: fn(Loan) -> Loan) -> Result<TenantConnection> {
        let (pool, tenant) = (self.pool(placement)?, placement.get().tenant);
        pool.last_used.store(self.now(), Ordering::Relaxed);
        let loan = on_terms(pool.cluster.borrow(&pool.door, tenant).await?);
        let session = Session::new(Held::Tenant(loan), self.settings.statement_timeout);
        let connection = TenantConnection::new(session, tenant, pool.neighbours.is_some());
        if let Some(neighbours) = &pool.neighbours {
            neighbours.identify(&connection, placement.get().generation).await?;
        }
        Ok(connection)
    }

    /// The pool that serves the placement, made now where there is none. The map's lock makes this a
    /// single flight, and no connection is opened under it.
    fn pool(&self, placement: &ActivePlacement) -> Result<Arc<TenantPool>> {
        let key = Key::of(placement.get());
        if let Some(found) = self.pools.get(&key)
            && found.serves(placement)
        {
            return Ok(Arc::clone(&found));
        }
        let mut entry = match self.pools.entry(key) {
            dashmap::Entry::Occupied(entry) if entry.get().serves(placement) => {
                return Ok(Arc::clone(entry.get()));
            }
            dashmap::Entry::Occupied(entry) if entry.get().is_newer_than(placement.get()) => {
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
        drop(entry);
        old.retire();
        Ok(made)
    }

    fn make_pool(&self, active: &ActivePlacement) -> Result<Arc<TenantPool>> {
        let placement = active.get();
        let server = placement.server.through(&self.settings.through);
        let mut config = connection_config(
            &server.host,
            server.port,
            &placement.database,
            &placement.role,
            &self.replica.as_ref().map_or_else(|| APPLICATION.to_owned(), Replica::application),
            self.settings.connect_timeout,
        );
        config.password(placement.password(&self.master).expose_secret());
        let is_direct = (&server.host, server.port) == (&placement.server.host, placement.server.port);
        if is_direct {
            // A pooler would have to be told to let this pass, and has keepalives of its own towards the server. Statements are
            // bounded by the setting of the login then.
            let limit = self.settings.statement_timeout.as_millis();
            config.options(format!("{SERVER_KEEPALIVES} -c statement_timeout={limit}"));
        }
        let way = Way {
            cluster: placement.server.cluster,
            host: server.host.clone(),
            port: server.port,
            config,
            tls: Tls::of_server(&server.tls, &self.tls).map_err(Error::unavailable)?,
            identity: Identity::of(placement),
            connect_timeout: self.settings.connect_timeout,
            max_lifetime: self.settings.max_lifetime,
        };
        let door = Arc::new(Door::new(PoolId(self.next_pool.fetch_add(1, Ordering::Relaxed)), way));
        let cluster = self.cluster(placement.server.cluster);
        cluster.add(Arc::clone(&door));
        let neighbours = match Key::of(placement) {
            Key::Tenant(_) => None,
            Key::Group(_) => Some(Neighbours::default()),
        };
        let last_used = AtomicU64::new(self.now());
        Ok(Arc::new(TenantPool { door, cluster, placement: active.clone(), neighbours, last_used }))
    }

    fn close_idle(&self) {
        let timeout = self.settings.idle_timeout;
        for cluster in self.clusters() {
            cluster.tidy(timeout);
        }
        let pools: Vec<(Key, Arc<TenantPool>)> =
            self.pools.iter().map(|entry| (*entry.key(), Arc::clone(entry.value()))).collect();
        let deadline = self.now().saturating_sub(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let is_done =
            |pool: &TenantPool| pool.last_used.load(Ordering::Relaxed) < deadline && !pool.cluster.knows(pool.door.id);
        for (key, pool) in pools {
            if let Some((_, gone)) =
                self.pools.remove_if(&key, |_, current| Arc::ptr_eq(current, &pool) && is_done(current))
            {
                // Whoever has just found it is told to look again.
                gone.retire();
            }
        }
    }
}
