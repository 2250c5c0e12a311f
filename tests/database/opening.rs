//! How tenants' connections are opened, and for how long they live.

use std::time::{Duration, Instant};

use rowhouse_database::{Described, Sql};
use rowhouse_problem::Code;
use rowhouse_testkit::{FaultProxy, Faults, TenantDatabase, TestCluster, tenant_database};

use crate::pools::{backend, expect_sessions, pools};

/// Long enough for a log-in, of several messages each way, to take longer than a test looks.
const FAR: Duration = Duration::from_millis(300);
const LOOKS: Duration = Duration::from_millis(1500);

fn beyond(proxy: &FaultProxy, tenant: &TenantDatabase) -> rowhouse_database::ActivePlacement {
    let mut placement = tenant.placement();
    placement.server.port = proxy.port();
    rowhouse_database::ActivePlacement::vouch(placement)
}

/// The most connections that were being opened at once, as whoever stands before the server sees it, while so many callers of each
/// tenant ask.
async fn opened_at_once(tenants: &[TenantDatabase], callers: usize, opening: usize) -> usize {
    let proxy = FaultProxy::before(TestCluster::get().port());
    proxy.set(Faults { latency: FAR, ..Faults::default() });
    let pools = pools(|settings| {
        settings.opening = opening;
        settings.cluster_budget = 50;
        settings.per_tenant = 8;
        settings.connect_timeout = Duration::from_secs(20);
        settings.checkout_timeout = Duration::from_secs(60);
    });
    let asked = tenants.iter().flat_map(|tenant| (0..callers).map(move |_| tenant));
    let mut asked = Box::pin(futures::future::join_all(
        asked.map(|tenant| async { pools.checkout(&beyond(&proxy, tenant)).await.map(drop) }),
    ));
    let (begun, mut most) = (Instant::now(), 0);
    while begun.elapsed() < LOOKS {
        let early = tokio::time::timeout(Duration::from_millis(10), &mut asked).await;
        assert!(early.is_err(), "the server is too quick for this test");
        most = most.max(proxy.connections().len());
    }
    assert_eq!(proxy.carried(), most as u64, "none was opened by now, so all were being opened at once");
    proxy.heal();
    assert!(asked.await.iter().all(Result::is_ok), "everybody is served in the end");
    most
}

#[tokio::test]
async fn a_slow_server_is_asked_for_few_connections_at_once() {
    const OPENING: usize = 3;
    let tenants = futures::future::join_all((0..10).map(|_| tenant_database())).await;
    // As many again as are let in at once, where those take long.
    assert_eq!(opened_at_once(&tenants, 2, OPENING).await, 2 * OPENING);
    assert_eq!(opened_at_once(&tenants[..1], 12, OPENING).await, 2, "two for one tenant");
}

#[tokio::test]
async fn connections_are_replaced_at_their_age_and_none_that_is_in_use_is_cut() {
    const AGE: Duration = Duration::from_secs(1);
    let tenant = tenant_database().await;
    let pools = pools(|settings| settings.max_lifetime = AGE);
    let begun = Instant::now();
    let connection = pools.checkout(&tenant.active()).await.unwrap();
    let first = backend(&connection).await;
    drop(connection);
    let connection = pools.checkout(&tenant.active()).await.unwrap();
    if begun.elapsed() < AGE / 2 {
        assert_eq!(backend(&connection).await, first, "a young one is lent again");
    }
    let own = backend(&connection).await;
    connection.query("select pg_sleep(1.5)::text", &[]).await.context("sleeping").unwrap();
    pools.close_idle();
    assert_eq!(backend(&connection).await, own, "it was in use");
    drop(connection);
    let connection = pools.checkout(&tenant.active()).await.unwrap();
    assert_ne!(backend(&connection).await, own, "it is too old to be lent again");
    // One that nobody asks for goes too.
    drop(connection);
    tokio::time::sleep(AGE).await;
    pools.close_idle();
    expect_sessions(&tenant, 0).await;
}

#[tokio::test]
async fn the_server_itself_keeps_the_limit_of_a_statement() {
    const LIMIT: Duration = Duration::from_millis(300);
    let tenant = tenant_database().await;
    let proxy = FaultProxy::before(TestCluster::get().port());
    let pools = pools(|settings| settings.statement_timeout = LIMIT);
    let connection = pools.checkout(&beyond(&proxy, &tenant)).await.unwrap();
    let row = connection.query_one("show statement_timeout", &[]).await.context("asking for a setting").unwrap();
    assert_eq!(row.try_get::<_, String>(0).unwrap(), "300ms", "whatever the login's own is");
    let before = backend(&connection).await;
    let error = connection.query("select pg_sleep(20)::text", &[]).await.context("sleeping").unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(backend(&connection).await, before, "the server has ended the statement, and the connection is well");
    // One that says nothing at all is not waited for much longer.
    proxy.set(Faults { silent: true, ..Faults::default() });
    let begun = Instant::now();
    let error = connection.query("select 1", &[]).await.context("asking").unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(begun.elapsed() >= LIMIT && begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
