//! The tenant pools against a real server: what is borrowed, what is returned, and what never is.

use std::time::{Duration, Instant};

use rowhouse_database::{ActivePlacement, Described, Sql, TenantPools, Tls};
use rowhouse_problem::Code;
use rowhouse_settings as settings;
use rowhouse_testkit::{TenantDatabase, TestCluster, master_key, tenant_database};

use crate::support::number;

pub(crate) fn pools(change: impl FnOnce(&mut settings::Pools)) -> TenantPools {
    let mut settings = settings::Pools {
        cluster_budget: 8,
        per_tenant: 4,
        connect_timeout: Duration::from_secs(3),
        checkout_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(60),
        max_lifetime: Duration::from_secs(1800),
    };
    change(&mut settings);
    TenantPools::new(settings, Tls::Disabled, master_key())
}

/// Sessions of a tenant as the server counts them.
async fn sessions(tenant: &TenantDatabase) -> i64 {
    let admin = TestCluster::get().admin("postgres").await;
    number(&admin, &format!("select count(*) from pg_stat_activity where usename = '{}'", tenant.name)).await
}

/// Waits until `sessions` is as expected: the server needs a moment to see a closed connection.
async fn expect_sessions(tenant: &TenantDatabase, expected: i64) {
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
    let abandoned = async {
        let transaction = connection.transaction().await.unwrap();
        transaction.query("select pg_sleep(30)::text", &[]).await.context("sleeping").unwrap();
    };
    assert!(tokio::time::timeout(Duration::from_millis(100), abandoned).await.is_err());
    drop(connection);
    let connection = pools.checkout(&placement).await.unwrap();
    let state =
        "select count(*) from pg_stat_activity where pid = pg_backend_pid() and xact_start < now() - interval '50 ms'";
    let rows = connection.query(state, &[]).await.context("asking").unwrap();
    assert_eq!(rows[0].try_get::<_, i64>(0).unwrap(), 0);
}

#[tokio::test]
async fn idle_connections_and_pools_are_closed() {
    let tenant = tenant_database().await;
    let pools = pools(|settings| settings.idle_timeout = Duration::from_millis(50));
    drop(pools.checkout(&tenant.active()).await.unwrap());
    assert_eq!(pools.load(), (1, 1));
    tokio::time::sleep(Duration::from_millis(120)).await;
    pools.close_idle();
    assert_eq!(pools.load(), (0, 0));
    expect_sessions(&tenant, 0).await;
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
