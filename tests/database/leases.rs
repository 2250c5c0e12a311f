//! A cluster's connections, divided between replicas of the data plane.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rowhouse_database::{
    ActivePlacement, AdminConnection, Described, Floors, PlatformPool, Replica, Sql, TenantPools, Tls,
};
use rowhouse_domain::ClusterId;
use rowhouse_settings as settings;
use rowhouse_testkit::{
    Cut, FaultProxy, Faults, OwnDatabase, TenantDatabase, TestCluster, master_key, platform_database, tenant_database,
};
use uuid::Uuid;

use crate::pools::pool_settings;
use crate::support::{number, run};

const PATIENCE: Duration = Duration::from_secs(20);
const FLOOR_KEPT: Duration = Duration::from_secs(600);

/// A platform with the cluster that all tests share, and a budget for it.
struct Platform {
    database: OwnDatabase,
    admin: AdminConnection,
}

impl Platform {
    async fn with_budget(budget: usize) -> Self {
        let database = platform_database().await;
        let admin = TestCluster::get().admin(&database.name).await;
        let cluster = format!(
            "insert into clusters (id, name, host, port, tls_mode, budget)
             values ('{}', 'one', '127.0.0.1', {}, 'disable', {budget})",
            Uuid::nil(),
            TestCluster::get().port()
        );
        run(&admin, &cluster).await;
        Self { database, admin }
    }

    fn pool(&self, port: u16) -> PlatformPool {
        let settings = settings::Platform {
            port,
            max_connections: 2,
            connect_timeout: Duration::from_secs(2),
            checkout_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            ..TestCluster::get().platform_settings(&self.database.name)
        };
        PlatformPool::new(&settings, "rowhouse_data").unwrap()
    }

    /// What all replicas together may hold.
    async fn held(&self) -> i64 {
        number(&self.admin, "select coalesce(sum(held), 0)::bigint from connection_leases").await
    }

    /// Asks as a replica would; what it may hold.
    async fn lease(&self, replica: Uuid, epoch: i64, [floor, holds, wanted]: [i32; 3]) -> i64 {
        let sql = format!(
            "select \"limit\"::bigint from connections_lease('{}', '{replica}', {epoch}, {floor}, {holds}, {wanted}, '10 s')",
            Uuid::nil()
        );
        number(&self.admin, &sql).await
    }
}

/// A replica with its leases kept in the background.
struct Running {
    pools: TenantPools,
    leases: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(platform: PlatformPool, floor: usize) -> Self {
        Self::start_as(platform, Replica::new(Uuid::now_v7(), floor, FLOOR_KEPT), floor)
    }

    fn start_as(platform: PlatformPool, replica: Replica, floor: usize) -> Self {
        let settings = pool_settings(|settings| {
            (settings.cluster_budget, settings.floor) = (100, floor);
            settings.floor_kept = FLOOR_KEPT;
            settings.checkout_timeout = Duration::from_secs(30);
        });
        let pools = TenantPools::leased(settings, Tls::Disabled, master_key(), replica);
        let keeper = pools.clone();
        Self { pools, leases: tokio::spawn(async move { keeper.keep_leases(&platform, |_, _, _| {}).await }) }
    }

    fn budget(&self) -> usize {
        self.pools.loads(0).first().map_or(0, |load| load.connections.budget)
    }

    async fn until(&self, what: &str, holds: impl Fn(usize) -> bool) {
        let begun = Instant::now();
        while !holds(self.budget()) {
            assert!(begun.elapsed() < PATIENCE, "{what}: the budget is {}", self.budget());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.leases.abort();
    }
}

/// Sessions of tenants as the server counts them.
async fn sessions(admin: &AdminConnection, tenants: &[TenantDatabase]) -> i64 {
    let names: Vec<&str> = tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    number(admin, &format!("select count(*) from pg_stat_activity where usename in ('{}')", names.join("', '"))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_keep_to_one_budget_and_parts_follow_the_load() {
    const BUDGET: usize = 8;
    let platform = Platform::with_budget(BUDGET).await;
    let tenants = Arc::new(futures::future::join_all((0..6).map(|_| tenant_database())).await);
    let port = TestCluster::get().port();
    let replicas = [Running::start(platform.pool(port), 1), Running::start(platform.pool(port), 1)];
    let is_done = Arc::new(AtomicBool::new(false));
    // Twelve callers keep a replica busy for as long as it is told to be.
    let flood = |replica: &Running, until: Arc<AtomicBool>| {
        let callers = (0..12).map(|caller| {
            let (pools, tenants, until) = (replica.pools.clone(), Arc::clone(&tenants), Arc::clone(&until));
            tokio::spawn(async move {
                while !until.load(Ordering::Acquire) {
                    let connection = pools.checkout(&tenants[caller % tenants.len()].active()).await.unwrap();
                    connection.query("select pg_sleep(0.01)::text", &[]).await.context("sleeping").unwrap();
                }
            })
        });
        futures::future::join_all(callers.collect::<Vec<_>>())
    };
    let watch = {
        let (tenants, is_done) = (Arc::clone(&tenants), Arc::clone(&is_done));
        tokio::spawn(async move {
            let admin = TestCluster::get().admin("postgres").await;
            let mut most = 0;
            while !is_done.load(Ordering::Acquire) {
                most = most.max(sessions(&admin, &tenants).await);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            most
        })
    };
    let first = flood(&replicas[0], Arc::clone(&is_done));
    replicas[0].until("alone it has everything", |budget| budget == BUDGET).await;
    let second = flood(&replicas[1], Arc::clone(&is_done));
    replicas[1].until("an equal load has an equal part", |budget| budget == BUDGET / 2).await;
    is_done.store(true, Ordering::Release);
    tokio::join!(first, second);
    let most = watch.await.unwrap();
    assert!(most <= BUDGET as i64, "{most} sessions");
    assert!(most >= BUDGET as i64 - 2, "{most} sessions only");
    assert!(platform.held().await <= BUDGET as i64);
}

#[tokio::test]
async fn the_part_of_a_dead_replica_is_given_on_when_its_sessions_are_gone() {
    let platform = Platform::with_budget(4).await;
    let tenants = futures::future::join_all((0..4).map(|_| tenant_database())).await;
    let port = TestCluster::get().port();
    const DEAD_FLOOR: usize = 2;
    let (dead, living) = (Running::start(platform.pool(port), DEAD_FLOOR), Running::start(platform.pool(port), 1));
    drop(living.pools.checkout(&tenants[3].active()).await.unwrap());
    let mut held = Vec::new();
    for tenant in &tenants[..3] {
        held.push(dead.pools.checkout(&tenant.active()).await.unwrap());
    }
    dead.leases.abort();
    let died =
        format!("update connection_leases set expires_at = now() - interval '1 second' where floor = {DEAD_FLOOR}");
    run(&platform.admin, &died).await;
    living.until("the dead holds the rest", |budget| budget == 1).await;
    // Two callers want a connection at the same time.
    let more = futures::future::join_all((0..2).map(|_| async {
        let connection = living.pools.checkout(&tenants[3].active()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(connection);
    }));
    let watch = async {
        // Three sessions of the dead are there, whatever its lease says.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(living.budget(), 1);
        let admin = TestCluster::get().admin("postgres").await;
        assert_eq!(sessions(&admin, &tenants).await, 4);
        drop(held);
        dead.pools.close_all();
        // The floor of the dead is kept for it.
        living.until("the rest is given on", |budget| budget == 4 - DEAD_FLOOR).await;
    };
    tokio::join!(more, watch);
}

/// A replica with a floor of two that has been given a whole budget of six, and what is between it and `saas_platform`.
async fn with_everything(platform: &Platform) -> (Running, FaultProxy, TenantDatabase) {
    let tenant = tenant_database().await;
    let proxy = FaultProxy::before(TestCluster::get().port());
    let replica = Running::start(platform.pool(proxy.port()), 2);
    drop(replica.pools.checkout(&tenant.active()).await.unwrap());
    replica.until("it has everything", |budget| budget == 6).await;
    (replica, proxy, tenant)
}

#[tokio::test]
async fn a_replica_that_is_cut_off_falls_back_to_its_floor() {
    let platform = Platform::with_budget(6).await;
    let (replica, proxy, tenant) = with_everything(&platform).await;
    proxy.refuse();
    proxy.cut(Cut::Reset);
    replica.until("the lease runs out", |budget| budget == 2).await;
    drop(replica.pools.checkout(&tenant.active()).await.unwrap());
    proxy.heal();
    replica.until("it is back", |budget| budget == 6).await;
}

#[tokio::test]
async fn only_a_replica_that_was_granted_its_floor_before_has_it_from_the_start() {
    let platform = Platform::with_budget(6).await;
    let proxy = FaultProxy::before(TestCluster::get().port());
    proxy.refuse();
    let tenant = tenant_database().await;
    let replica = |granted| Replica::new(Uuid::now_v7(), 2, FLOOR_KEPT).returning(granted);
    let here = ClusterId::from_uuid(Uuid::nil());
    let elsewhere = ClusterId::from_uuid(Uuid::now_v7());
    let [new, known, lessened] = [Floors::from([(elsewhere, 2)]), Floors::from([(here, 4)]), Floors::from([(here, 1)])]
        .map(|granted| Running::start_as(platform.pool(proxy.port()), replica(granted), 2));
    for replica in [&known, &lessened] {
        drop(replica.pools.checkout(&tenant.active()).await.unwrap());
    }
    let active = tenant.active();
    let asked = tokio::time::timeout(Duration::from_secs(4), new.pools.checkout(&active)).await;
    assert!(asked.is_err(), "it took what nobody gave it");
    assert_eq!([new.budget(), known.budget(), lessened.budget()], [0, 2, 1]);
}

#[tokio::test]
async fn what_a_replica_keeps_when_it_stops_is_its_own_when_it_returns_while_nobody_can_be_asked() {
    let platform = Platform::with_budget(6).await;
    let port = TestCluster::get().port();
    let [mine, theirs] = [tenant_database().await, tenant_database().await];
    let here = ClusterId::from_uuid(Uuid::nil());
    let life = |id| Replica::new(id, 2, FLOOR_KEPT).returning(Floors::from([(here, 2)]));
    let (id, other) = (Uuid::now_v7(), Replica::new(Uuid::now_v7(), 1, FLOOR_KEPT));
    let first = Running::start_as(platform.pool(port), life(id), 2);
    drop(first.pools.checkout(&mine.active()).await.unwrap());
    first.until("it has everything", |budget| budget == 6).await;
    first.leases.abort();
    first.pools.end(&platform.pool(port)).await.unwrap();
    assert_eq!(platform.held().await, 2, "its floor");

    let greedy = Running::start_as(platform.pool(port), other, 1);
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(greedy.pools.checkout(&theirs.active()).await.unwrap());
    }
    let active = theirs.active();
    let one_more = tokio::time::timeout(Duration::from_secs(3), greedy.pools.checkout(&active)).await;
    assert!(one_more.is_err(), "it took what is kept");
    // The first comes back, and can't ask.
    let proxy = FaultProxy::before(port);
    proxy.refuse();
    let second = Running::start_as(platform.pool(proxy.port()), life(id), 2);
    let active = mine.active();
    let own = [second.pools.checkout(&active).await.unwrap(), second.pools.checkout(&active).await.unwrap()];
    let admin = TestCluster::get().admin("postgres").await;
    assert_eq!(sessions(&admin, &[mine, theirs]).await, 6);
    drop(own);
    // When it can, what its earlier life has left is its own.
    proxy.heal();
    let lives = format!("select count(*) from connection_leases where replica_id = '{id}'");
    let begun = Instant::now();
    while number(&platform.admin, &format!("{lives} and not has_ended")).await == 0 {
        assert!(begun.elapsed() < PATIENCE, "it never asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(number(&platform.admin, &lives).await, 1);
    assert_eq!((platform.held().await, second.budget()), (6, 2));
}

#[tokio::test]
async fn a_replica_that_hears_nothing_has_let_go_before_others_take_its_part() {
    let platform = Platform::with_budget(6).await;
    let (replica, proxy, _tenant) = with_everything(&platform).await;
    proxy.set(Faults { silent: true, ..Faults::default() });
    let begun = Instant::now();
    replica.until("the lease runs out", |budget| budget == 2).await;
    // Others may count on it after ten seconds, and closing takes time.
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    // Nothing is left open beyond it either.
    assert!(replica.pools.load().0 <= 2);
}

#[tokio::test]
async fn a_cluster_that_was_forgotten_keeps_no_other_from_its_part() {
    let platform = Platform::with_budget(6).await;
    let forgotten = tenant_database().await;
    let tenant = tenant_database().await;
    let mut elsewhere = tenant.placement();
    let other = ClusterId::from_uuid(Uuid::now_v7());
    elsewhere.server.cluster = other;
    let replica = Running::start(platform.pool(TestCluster::get().port()), 2);
    drop(replica.pools.checkout(&forgotten.active()).await.unwrap());
    replica.until("it has everything", |budget| budget == 6).await;
    let another = format!(
        "insert into clusters (id, name, host, port, tls_mode, budget)
         values ('{}', 'two', 'localhost', {}, 'disable', 5)",
        other.as_uuid(),
        TestCluster::get().port()
    );
    run(&platform.admin, &another).await;
    run(&platform.admin, &format!("delete from clusters where id = '{}'", Uuid::nil())).await;
    replica.until("the other is gone", |budget| budget == 0).await;
    drop(replica.pools.checkout(&ActivePlacement::vouch(elsewhere)).await.unwrap());
    for _ in 0..30 {
        let loads = replica.pools.loads(0);
        let budget = loads.iter().find(|load| load.cluster == other).map(|load| load.connections.budget);
        assert_eq!(budget, Some(5));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn the_numbers_are_never_more_than_there_are() {
    let platform = Platform::with_budget(10).await;
    let (one, two, three) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    assert_eq!(platform.lease(one, 1, [2, 0, 0]).await, 10, "who is alone has everything");
    assert_eq!(platform.lease(two, 1, [2, 0, 9]).await, 0, "nothing is free before the first has let go of it");
    assert_eq!(platform.lease(one, 1, [2, 10, 3]).await, 3, "what it wants, and the other wants all the rest");
    assert_eq!(platform.lease(two, 1, [2, 0, 9]).await, 0);
    assert_eq!(platform.lease(one, 1, [2, 3, 3]).await, 3);
    assert_eq!(platform.lease(two, 1, [2, 0, 9]).await, 7);
    assert_eq!(platform.held().await, 10);
    // A third has its floor first, though the others want everything.
    assert_eq!(platform.lease(three, 1, [2, 0, 0]).await, 0);
    assert_eq!(platform.lease(two, 1, [2, 7, 9]).await, 5);
    assert_eq!(platform.lease(two, 1, [2, 5, 9]).await, 5);
    assert_eq!(platform.lease(three, 1, [2, 0, 0]).await, 2);
    assert_eq!(platform.held().await, 10);
    // Another life of the first: what the earlier one held counts until its sessions are gone.
    assert_eq!(platform.lease(one, 2, [2, 0, 3]).await, 0);
    let gone = format!("select connections_gone('{}', '{one}', 1, 1, '70 minutes')::text", Uuid::nil());
    run(&platform.admin, &gone).await;
    assert_eq!(platform.lease(one, 2, [2, 0, 3]).await, 2);
    assert_eq!(platform.held().await, 10);
    // A budget that shrinks is obeyed by those who hold too much, and takes nothing from the others at once.
    run(&platform.admin, "update clusters set budget = 6").await;
    // Three floors of two are more than what the dead leaves.
    assert_eq!(platform.lease(two, 1, [2, 5, 9]).await, 2, "what the others leave of five");
    assert_eq!(platform.lease(three, 1, [2, 2, 0]).await, 1, "who wants nothing has its floor lessened");
    assert_eq!(platform.lease(one, 2, [2, 2, 3]).await, 2);
    assert_eq!(platform.lease(two, 1, [2, 2, 9]).await, 2);
    assert_eq!(platform.lease(three, 1, [2, 1, 0]).await, 1);
    assert_eq!(platform.held().await, 6);
}

#[tokio::test]
async fn floors_that_differ_are_all_kept_where_there_is_room_for_them() {
    let platform = Platform::with_budget(9).await;
    let [one, two, three] = [(); 3].map(|()| Uuid::now_v7());
    assert_eq!(platform.lease(one, 1, [2, 0, 0]).await, 9);
    assert_eq!(platform.lease(one, 1, [2, 2, 0]).await, 9);
    // The third wants more than the second, which is served first and would have three of an even split.
    for _ in 0..3 {
        platform.lease(three, 1, [6, 0, 9]).await;
        platform.lease(two, 1, [1, 0, 3]).await;
        assert_eq!(platform.lease(one, 1, [2, 2, 0]).await, 2);
    }
    assert_eq!(platform.lease(two, 1, [1, 1, 3]).await, 1);
    assert_eq!(platform.lease(three, 1, [6, 6, 9]).await, 6, "its floor");
    assert_eq!(platform.held().await, 9);
}

#[tokio::test]
async fn floors_that_are_more_than_there_is_are_lessened_alike_and_so_are_those_kept_for_the_dead() {
    let platform = Platform::with_budget(9).await;
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    for _ in 0..2 {
        platform.lease(one, 1, [12, 0, 0]).await;
        platform.lease(two, 1, [6, 0, 0]).await;
    }
    assert_eq!(platform.lease(one, 1, [12, 6, 0]).await, 6);
    assert_eq!(platform.lease(two, 1, [6, 3, 0]).await, 3);
    assert_eq!(platform.held().await, 9);
    let told = format!("select floors from connections_lease('{}', '{two}', 1, 6, 3, 0, '10 s')", Uuid::nil());
    assert_eq!(number(&platform.admin, &told).await, 18);
    // The first is cut off. It has no more than the six that it was told, whatever its floor is.
    let end =
        format!("update connection_leases set expires_at = now() - interval '1 second' where replica_id = '{one}'");
    run(&platform.admin, &end).await;
    for sessions in [6, 0] {
        let gone = format!("select connections_gone('{}', '{one}', 1, {sessions}, '70 minutes')::text", Uuid::nil());
        run(&platform.admin, &gone).await;
        assert_eq!(platform.held().await, 9);
        assert_eq!(platform.lease(two, 1, [6, 3, 9]).await, 3);
    }
}

#[tokio::test]
async fn a_transaction_of_saas_platform_that_stands_still_is_ended_by_the_server() {
    let platform = Platform::with_budget(1).await;
    let pool = platform.pool(TestCluster::get().port());
    let row = pool.get().await.unwrap().query_one("show idle_in_transaction_session_timeout", &[]).await;
    assert_eq!(row.context("asking for a setting").unwrap().try_get::<_, String>(0).unwrap(), "30s");
}
