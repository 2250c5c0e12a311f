//! The tenant pools against a real server: what is borrowed, what is returned, and what never is.

use std::time::{Duration, Instant};

use rowhouse_database::{ActivePlacement, Described, Sql, TenantPools, Tls};
use rowhouse_domain::ClusterId;
use rowhouse_problem::Code;
use rowhouse_settings as settings;
use rowhouse_testkit::{Cut, FaultProxy, Faults, TenantDatabase, TestCluster, master_key, tenant_database};

use crate::support::{number, run};

pub(crate) fn pool_settings(change: impl FnOnce(&mut settings::Pools)) -> settings::Pools {
    let mut settings = settings::Pools {
        through: Vec::new(),
        cluster_budget: 8,
        per_tenant: 4,
        per_slow_tenant: 8,
        opening: 4,
        floor: 2,
        floor_kept: Duration::from_secs(60),
        replica_file: std::path::PathBuf::new(),
        connect_timeout: Duration::from_secs(3),
        checkout_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(60),
        max_lifetime: Duration::from_secs(1800),
    };
    change(&mut settings);
    settings
}

pub(crate) fn pools(change: impl FnOnce(&mut settings::Pools)) -> TenantPools {
    TenantPools::new(pool_settings(change), Tls::Disabled, master_key())
}

/// Sessions of a tenant as the server counts them.
async fn sessions(tenant: &TenantDatabase) -> i64 {
    let admin = TestCluster::get().admin("postgres").await;
    number(&admin, &format!("select count(*) from pg_stat_activity where usename = '{}'", tenant.name)).await
}

/// Waits until `sessions` is as expected: the server needs a moment to see a closed connection.
pub(crate) async fn expect_sessions(tenant: &TenantDatabase, expected: i64) {
    let begun = Instant::now();
    while sessions(tenant).await != expected {
        assert!(begun.elapsed() < Duration::from_secs(5), "{} sessions instead of {expected}", sessions(tenant).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_connection_that_leads_to_another_tenant_is_refused() {
    let (own, other) = (tenant_database().await, tenant_database().await);
    let pools = pools(|_| {});
    assert!(pools.checkout(&own.active()).await.is_ok());
    // The neighbour's database under this tenant's name: a stale row, a restored or a renamed database.
    let mut astray = other.placement();
    astray.tenant = own.tenant;
    astray.generation = 2;
    let error = pools.checkout(&ActivePlacement::vouch(astray)).await.err().unwrap();
    assert_eq!(error.code(), Code::Unavailable);
    // And a database that was restored from another tenant's copy, with the right name and the right login.
    let admin = TestCluster::get().admin(&own.name).await;
    admin.run(&format!("update tenant_identity set tenant_id = '{}'", other.tenant.as_uuid())).await.unwrap();
    let mut fresh = own.placement();
    fresh.generation = 3;
    let error = pools.checkout(&ActivePlacement::vouch(fresh)).await.err().unwrap();
    assert!(error.chain().contains("does not know tenant"), "{}", error.chain());
}

#[tokio::test]
async fn a_cold_tenant_opens_no_more_than_its_share() {
    let tenant = tenant_database().await;
    let pools = pools(|settings| settings.cluster_budget = 20);
    let work = (0..200).map(|_| async {
        let connection = pools.checkout(&tenant.active()).await.unwrap();
        connection.query("select pg_sleep(0.005)::text", &[]).await.context("sleeping").unwrap();
    });
    let (most, _) = tokio::join!(
        async {
            let mut most = 0;
            for _ in 0..20 {
                most = most.max(sessions(&tenant).await);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            most
        },
        futures::future::join_all(work)
    );
    assert!((1..=4).contains(&most), "{most} sessions");
}

#[tokio::test]
async fn many_tenants_live_within_the_budget() {
    let tenants = futures::future::join_all((0..6).map(|_| tenant_database())).await;
    let pools = pools(|settings| {
        settings.cluster_budget = 2;
        settings.per_tenant = 2;
    });
    let work = (0..60).map(|turn| {
        let (pools, placement) = (&pools, tenants[turn % tenants.len()].active());
        async move {
            let connection = pools.checkout(&placement).await.unwrap();
            connection.query("select 1", &[]).await.context("asking").unwrap();
        }
    });
    futures::future::join_all(work).await;
    let (open, _) = pools.load();
    assert!(open <= 2, "{open} connections are open");
}

#[tokio::test]
async fn without_room_the_caller_is_told_to_come_back() {
    let (busy, waiting) = (tenant_database().await, tenant_database().await);
    let pools = pools(|settings| {
        settings.cluster_budget = 1;
        settings.per_tenant = 1;
        settings.checkout_timeout = Duration::from_secs(1);
        settings.connect_timeout = Duration::from_secs(3);
    });
    let held = pools.checkout(&busy.active()).await.unwrap();
    let error = pools.checkout(&waiting.active()).await.err().unwrap();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.retry_delay().is_some());
    drop(held);
    assert!(pools.checkout(&waiting.active()).await.is_ok(), "an idle connection makes room for another tenant");
}

#[tokio::test]
async fn an_abandoned_statement_is_cancelled_and_its_connection_never_lent_again() {
    let tenant = tenant_database().await;
    let pools = pools(|settings| settings.per_tenant = 1);
    let placement = tenant.active();
    let begun = Instant::now();
    let abandoned = async {
        let connection = pools.checkout(&placement).await.unwrap();
        connection.query("select pg_sleep(30)::text", &[]).await.context("sleeping").unwrap();
    };
    assert!(tokio::time::timeout(Duration::from_millis(100), abandoned).await.is_err());
    let next = pools.checkout(&placement).await.unwrap();
    next.query("select 1", &[]).await.context("asking").unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "the next borrower waited for the abandoned statement");
    let admin = TestCluster::get().admin("postgres").await;
    let still = format!(
        "select count(*) from pg_stat_activity where usename = '{}' and query like '%pg_sleep(30)%' and state = 'active'",
        tenant.name
    );
    let begun = Instant::now();
    while number(&admin, &still).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(5), "the server still runs the abandoned statement");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_abandoned_transaction_is_gone_for_the_next_borrower() {
    let tenant = tenant_database().await;
    let pools = pools(|settings| settings.per_tenant = 1);
    let placement = tenant.active();
    {
        let mut connection = pools.checkout(&placement).await.unwrap();
        let transaction = connection.transaction().await.unwrap();
        let insert = "insert into workspaces (name, name_normalized) values ('half done', 'half done')";
        transaction.execute(insert, &[]).await.context("inserting").unwrap();
    }
    let mut connection = pools.checkout(&placement).await.unwrap();
    let rows = connection.query("select count(*) from workspaces", &[]).await.context("counting").unwrap();
    assert_eq!(rows[0].try_get::<_, i64>(0).unwrap(), 0);
    // One that was in the middle of a statement is not lent again at all.
    let before = backend(&connection).await;
    let abandoned = async {
        let transaction = connection.transaction().await.unwrap();
        transaction.query("select pg_sleep(30)::text", &[]).await.context("sleeping").unwrap();
    };
    assert!(tokio::time::timeout(Duration::from_millis(100), abandoned).await.is_err());
    drop(connection);
    let connection = pools.checkout(&placement).await.unwrap();
    assert_ne!(backend(&connection).await, before, "the connection in the middle of a statement was lent again");
}

pub(crate) async fn backend(connection: &impl Sql) -> i32 {
    let rows = connection.query("select pg_backend_pid()", &[]).await.context("asking").unwrap();
    rows[0].try_get(0).unwrap()
}

#[tokio::test]
async fn what_background_work_opens_makes_room_before_what_users_keep_asking_for() {
    let (warm, tenants) = (tenant_database().await, [tenant_database().await, tenant_database().await]);
    let pools = pools(|settings| settings.cluster_budget = 2);
    let first = backend(&pools.checkout(&warm.active()).await.unwrap()).await;
    for _ in 0..3 {
        assert_eq!(backend(&pools.checkout(&warm.active()).await.unwrap()).await, first);
        for tenant in &tenants {
            // A visit borrows many times.
            for _ in 0..5 {
                drop(pools.checkout_in_background(&tenant.active()).await.unwrap());
            }
        }
    }
    assert_eq!(
        backend(&pools.checkout(&warm.active()).await.unwrap()).await,
        first,
        "background work had its connection"
    );
}

#[tokio::test]
async fn idle_connections_and_pools_are_closed() {
    let tenant = tenant_database().await;
    let pools = pools(|settings| settings.idle_timeout = Duration::from_millis(50));
    drop(pools.checkout(&tenant.active()).await.unwrap());
    assert_eq!(pools.load(), (1, 1));
    tokio::time::sleep(Duration::from_millis(120)).await;
    pools.close_idle();
    // Nothing is given up before the server has let go of it.
    expect_sessions(&tenant, 0).await;
    let begun = Instant::now();
    while pools.load() != (0, 0) {
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", pools.load());
        pools.close_idle();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_never_counts_more_than_the_budget() {
    const BUDGET: usize = 3;
    let tenants = futures::future::join_all((0..9).map(|_| tenant_database())).await;
    let pools = pools(|settings| {
        settings.cluster_budget = BUDGET;
        settings.per_tenant = 2;
    });
    let names: Vec<&str> = tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    let admin = TestCluster::get().admin("postgres").await;
    let count = format!("select count(*) from pg_stat_activity where usename in ('{}')", names.join("', '"));
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let work = async {
        // Each visit makes room by closing somebody else's connection.
        let visits = (0..270).map(|turn| {
            let (pools, placement) = (&pools, tenants[turn % tenants.len()].active());
            async move {
                tokio::time::sleep(Duration::from_millis(turn as u64 * 4)).await;
                let connection = pools.checkout(&placement).await.unwrap();
                connection.query("select 1", &[]).await.context("asking").unwrap();
                if turn % 7 == 0 {
                    let slow = connection.query("select pg_sleep(1)::text", &[]);
                    let _ = tokio::time::timeout(Duration::from_millis(3), slow).await;
                }
            }
        });
        futures::future::join_all(visits).await;
        is_done.store(true, std::sync::atomic::Ordering::Release);
    };
    let watch = async {
        let (mut most, mut looks) = (0, 0);
        while !is_done.load(std::sync::atomic::Ordering::Acquire) {
            most = most.max(number(&admin, &count).await);
            looks += 1;
            tokio::task::yield_now().await;
        }
        (most, looks)
    };
    let (_, (most, looks)) = tokio::join!(work, watch);
    assert!(most <= BUDGET as i64, "{most} connections");
    assert!(most > 0 && looks > 100, "{looks} looks");
}

#[tokio::test]
async fn a_place_is_free_only_when_the_server_has_let_go_of_it() {
    let (first, second) = (tenant_database().await, tenant_database().await);
    let pools = pools(|settings| settings.cluster_budget = 1);
    let connection = pools.checkout(&first.active()).await.unwrap();
    let pid = rustix::process::Pid::from_raw(backend(&connection).await).unwrap();
    drop(connection);
    // The server's process does not come to its end.
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let second_active = second.active();
    let mut waiting = std::pin::pin!(pools.checkout(&second_active));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    let sessions = (sessions(&first).await, sessions(&second).await);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    assert!(early.is_err());
    assert_eq!(sessions, (1, 0));
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_thousand_waiting_requests_do_not_keep_another_tenant_out() {
    let (noisy, quiet) = (tenant_database().await, tenant_database().await);
    let pools = pools(|settings| {
        settings.cluster_budget = 2;
        settings.per_tenant = 2;
        settings.checkout_timeout = Duration::from_secs(60);
    });
    let (noisy, quiet) = (noisy.active(), quiet.active());
    let served = std::sync::atomic::AtomicUsize::new(0);
    let flood = futures::future::join_all((0..1000).map(|_| async {
        let connection = pools.checkout(&noisy).await.unwrap();
        connection.query("select pg_sleep(0.002)::text", &[]).await.context("sleeping").unwrap();
        served.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }));
    let visitor = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let connection = pools.checkout(&quiet).await.unwrap();
        connection.query("select 1", &[]).await.context("asking").unwrap();
        served.load(std::sync::atomic::Ordering::Relaxed)
    };
    let (_, served) = tokio::join!(flood, visitor);
    assert!(served < 900, "the other tenant was served after {served} of a thousand");
}

#[tokio::test]
async fn a_migration_never_shows_as_a_plan_that_does_not_fit() {
    let tenant = tenant_database().await;
    let pools = pools(|settings| settings.per_tenant = 1);
    let admin = TestCluster::get().admin(&tenant.name).await;
    let mut connection = pools.checkout(&tenant.active()).await.unwrap();
    const ASK: &str = "select size_bytes from rows_of_a_test";
    let change = |kind: &str| {
        format!(
            "drop table if exists rows_of_a_test; create table rows_of_a_test (size_bytes {kind}); grant select on rows_of_a_test to public"
        )
    };
    run(&admin, &change("bigint")).await;
    connection.query(ASK, &[]).await.context("asking").unwrap();
    run(&admin, "alter table rows_of_a_test alter size_bytes type numeric").await;
    connection.query(ASK, &[]).await.context("asking outside of a transaction").unwrap();
    run(&admin, "alter table rows_of_a_test alter size_bytes type text").await;
    let transaction = connection.transaction().await.unwrap();
    transaction.query(ASK, &[]).await.context("asking first thing in a transaction").unwrap();
    transaction.commit().await.unwrap();
    // In the middle of a transaction something may have been done: the caller is asked to come back, and finds it well.
    let transaction = connection.transaction().await.unwrap();
    transaction.query("select 1", &[]).await.context("asking").unwrap();
    run(&admin, "alter table rows_of_a_test alter size_bytes type varchar(9)").await;
    let error = transaction.query(ASK, &[]).await.context("asking later in a transaction").unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    drop(transaction);
    drop(connection);
    let mut connection = pools.checkout(&tenant.active()).await.unwrap();
    let transaction = connection.transaction().await.unwrap();
    transaction.query("select 1", &[]).await.context("asking").unwrap();
    transaction.query(ASK, &[]).await.context("asking again").unwrap();
}

#[tokio::test]
async fn a_budget_that_shrinks_closes_what_is_too_much() {
    let tenants = futures::future::join_all((0..4).map(|_| tenant_database())).await;
    let pools = pools(|settings| settings.cluster_budget = 4);
    let mut held = Vec::new();
    for tenant in &tenants {
        held.push(pools.checkout(&tenant.active()).await.unwrap());
    }
    let cluster = tenants[0].placement().server.cluster;
    pools.set_budget(cluster, 2);
    assert_eq!(pools.load().0, 4, "what is in use is not cut");
    drop(held);
    let begun = Instant::now();
    while pools.load().0 > 2 {
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", pools.load());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    pools.set_budget(cluster, 4);
    let again = tenants.iter().map(|tenant| async { pools.checkout(&tenant.active()).await.unwrap() });
    futures::future::join_all(again).await;
}

#[tokio::test]
async fn a_newer_placement_replaces_the_pool_and_an_older_one_does_not() {
    let tenant = tenant_database().await;
    let pools = pools(|_| {});
    drop(pools.checkout(&tenant.active()).await.unwrap());
    let mut newer = tenant.placement();
    newer.generation = 2;
    drop(pools.checkout(&ActivePlacement::vouch(newer)).await.unwrap());
    assert_eq!(pools.load().1, 1);
    let error = pools.checkout(&tenant.active()).await.err().unwrap();
    assert_eq!(error.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_silent_cluster_is_refused_at_once_while_others_notice_nothing() {
    const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
    let (near, far) = (tenant_database().await, tenant_database().await);
    let pools = pools(|settings| settings.connect_timeout = CONNECT_TIMEOUT);
    let proxy = FaultProxy::before(TestCluster::get().port());
    let mut beyond = far.placement();
    beyond.server.port = proxy.port();
    beyond.server.cluster = ClusterId::new();
    let beyond = ActivePlacement::vouch(beyond);
    drop(pools.checkout(&beyond).await.unwrap());
    // Nothing idle is left, of which it would turn out only at its use that it is cut.
    pools.close(far.tenant);
    proxy.set(Faults { silent: true, ..Faults::default() });
    proxy.cut(Cut::Reset);
    // The first callers find out that nobody answers.
    let first = futures::future::join_all((0..6).map(|_| pools.checkout(&beyond))).await;
    assert!(first.iter().all(Result::is_err));
    let begun = Instant::now();
    while !pools.loads(0).iter().any(|load| load.connections.is_refusing) {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody noticed");
        let _ = pools.checkout(&beyond).await;
    }
    // The others are told at once: a hundred of them take less than what one would have waited.
    let begun = Instant::now();
    for _ in 0..100 {
        let error = pools.checkout(&beyond).await.err().unwrap();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.retry_delay().is_some());
        drop(pools.checkout(&near.active()).await.unwrap());
    }
    assert!(begun.elapsed() < CONNECT_TIMEOUT, "{:?}", begun.elapsed());
    proxy.heal();
    let begun = Instant::now();
    while pools.checkout(&beyond).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is not tried again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_cluster_that_is_away_is_tried_by_way_of_another_tenant_where_the_first_has_gone() {
    let (gone, kept) = (tenant_database().await, tenant_database().await);
    let pools = pools(|settings| settings.connect_timeout = Duration::from_millis(300));
    let proxy = FaultProxy::before(TestCluster::get().port());
    let cluster = ClusterId::new();
    let beyond = |tenant: &TenantDatabase| {
        let mut placement = tenant.placement();
        (placement.server.port, placement.server.cluster) = (proxy.port(), cluster);
        ActivePlacement::vouch(placement)
    };
    let is_refusing = || pools.loads(0).iter().any(|load| load.connections.is_refusing);
    proxy.set(Faults { silent: true, ..Faults::default() });
    let begun = Instant::now();
    while !is_refusing() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody noticed");
        assert!(pools.checkout(&beyond(&gone)).await.is_err());
    }
    pools.close(gone.tenant);
    // Tried by no way at all, the cluster is as much away as before.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        assert!(is_refusing(), "nobody has answered");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(pools.checkout(&beyond(&kept)).await.is_err());
    proxy.heal();
    let begun = Instant::now();
    while pools.checkout(&beyond(&kept)).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is not tried again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_tenant_whose_database_is_closed_troubles_nobody_else_on_its_cluster() {
    let (closed, open) = (tenant_database().await, tenant_database().await);
    let pools = pools(|_| {});
    let admin = TestCluster::get().admin("postgres").await;
    run(&admin, &format!("alter database \"{}\" allow_connections false", closed.name)).await;
    for _ in 0..20 {
        assert!(pools.checkout(&closed.active()).await.is_err());
        drop(pools.checkout(&open.active()).await.unwrap());
    }
    assert!(pools.loads(0).iter().all(|load| !load.connections.is_refusing));
    run(&admin, &format!("alter database \"{}\" allow_connections true", closed.name)).await;
    let begun = Instant::now();
    while pools.checkout(&closed.active()).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is not tried again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_database_that_lets_in_and_says_nothing_troubles_nobody_else_and_keeps_no_session() {
    let (stuck, open) = (tenant_database().await, tenant_database().await);
    let pools = pools(|settings| settings.connect_timeout = Duration::from_millis(500));
    let admin = TestCluster::get().admin(&stuck.name).await;
    admin.run("begin; lock table tenant_identity in access exclusive mode").await.unwrap();
    for _ in 0..5 {
        assert_eq!(pools.checkout(&stuck.active()).await.err().unwrap().code(), Code::Unavailable);
        drop(pools.checkout(&open.active()).await.unwrap());
        assert!(pools.loads(0).iter().all(|load| !load.connections.is_refusing));
        // Its place is somebody else's now; the server must not be at it any more.
        expect_sessions(&stuck, 0).await;
        // For as long nobody tries again.
        tokio::time::sleep(Duration::from_millis(1300)).await;
    }
    admin.run("rollback").await.unwrap();
    assert!(pools.checkout(&stuck.active()).await.is_ok());
}

#[tokio::test]
async fn a_server_is_asked_to_end_sessions_of_which_it_hears_nothing() {
    let tenant = tenant_database().await;
    let connection = pools(|_| {}).checkout(&tenant.active()).await.unwrap();
    let sql = "select current_setting('tcp_user_timeout'), current_setting('client_connection_check_interval')";
    let row = connection.query_one(sql, &[]).await.context("asking for settings").unwrap();
    let [sending, running] = [0, 1].map(|place| row.try_get::<_, String>(place).unwrap());
    assert_eq!((sending.as_str(), running.as_str()), ("20000", "5s"));
}

#[tokio::test]
async fn what_a_schema_of_another_release_lacks_is_no_failure_of_the_request() {
    let tenant = tenant_database().await;
    let connection = pools(|_| {}).checkout(&tenant.active()).await.unwrap();
    for lacking in ["select 1 from gone", "select gone from workspaces", "select gone()", "select null::gone"] {
        let error = connection.query(lacking, &[]).await.context("asking").unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{lacking}");
    }
    let wrong = connection.query("select 1 / 0", &[]).await.context("asking").unwrap_err();
    assert_eq!(wrong.code(), Code::Internal);
}
