//! How many connections tenants hold, as PostgreSQL itself counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rowhouse_database::{AdminConnection, ServerAddress, Tls};
use rowhouse_testkit::TestCluster;

use crate::estate::{BUDGET, IDLE_TIMEOUT};

/// How often it is counted.
const PACE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(20);
/// Tenants' logins, those of whole groups too, are the only ones of such names.
const TENANTS: &str = "backend_type = 'client backend' and starts_with(usename, 'tenant_')";

/// Counts until it is asked for the most that there were at once.
pub(crate) struct Watch {
    most: Arc<AtomicUsize>,
    counted: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Watch {
    /// Begins, on a thread of its own. It gets over the server's absence.
    pub(crate) fn begin(cluster: &TestCluster) -> Self {
        Self::begin_for(cluster, "true")
    }

    /// The same for those connections only for which an SQL condition holds.
    pub(crate) fn begin_for(cluster: &TestCluster, condition: &str) -> Self {
        let this = Self { most: Arc::default(), counted: Arc::default(), over: Arc::default() };
        let (most, counted, over) = (Arc::clone(&this.most), Arc::clone(&this.counted), Arc::clone(&this.over));
        let address = cluster.superuser();
        let count = format!("select count(*) from pg_stat_activity where {TENANTS} and ({condition})");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                while !over.load(Ordering::Acquire) {
                    watch(&address, &count, &most, &counted, &over).await;
                    tokio::time::sleep(PACE).await;
                }
            });
        });
        this
    }

    /// Whether it has still to begin.
    pub(crate) fn has_not_counted(&self) -> bool {
        self.counted.load(Ordering::Acquire) == 0
    }

    /// The most connections that there were at once.
    pub(crate) fn most(self) -> usize {
        assert!(self.counted.load(Ordering::Acquire) > 0, "nothing was counted");
        self.most.load(Ordering::Acquire)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

async fn watch(address: &ServerAddress, count: &str, most: &AtomicUsize, counted: &AtomicUsize, over: &AtomicBool) {
    let Ok(connection) = AdminConnection::open(address, "postgres", &Tls::Disabled).await else { return };
    while !over.load(Ordering::Acquire) {
        let Ok(rows) = connection.query(count, &[]).await else { return };
        let found: i64 = rows[0].try_get(0).unwrap();
        most.fetch_max(usize::try_from(found).unwrap(), Ordering::AcqRel);
        counted.fetch_add(1, Ordering::AcqRel);
        tokio::time::sleep(PACE).await;
    }
}

/// How many connections of tenants there are for which an SQL condition holds.
pub(crate) async fn connections(cluster: &TestCluster, condition: &str) -> usize {
    let count = format!("select count(*) from pg_stat_activity where {TENANTS} and ({condition})");
    let rows = cluster.admin("postgres").await.query(&count, &[]).await.unwrap();
    usize::try_from(rows[0].try_get::<_, i64>(0).unwrap()).unwrap()
}

/// Waits until there are at most so many; says how long that took.
pub(crate) async fn expect_connections(cluster: &TestCluster, condition: &str, at_most: usize, what: &str) -> Duration {
    let begun = Instant::now();
    loop {
        let found = connections(cluster, condition).await;
        if found <= at_most {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: {found} connections are still there");
        tokio::time::sleep(PACE).await;
    }
}

/// Asserts that no connection is left that nobody uses and nobody closes. Background work goes on using some.
pub(crate) async fn expect_none_forgotten(cluster: &TestCluster) {
    tokio::time::sleep(IDLE_TIMEOUT * 3).await;
    let forgotten = format!("clock_timestamp() - state_change > interval '{} s'", IDLE_TIMEOUT.as_secs() * 3);
    expect_connections(cluster, &forgotten, 0, "nobody uses them").await;
    let found = connections(cluster, "true").await;
    assert!(found <= BUDGET, "{found} connections are more than the budget");
}
