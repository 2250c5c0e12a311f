//! A server that is silent for a while: what is answered meanwhile, and how soon it is used again.

use std::time::{Duration, Instant};

use rowhouse_testkit::{TestCluster, TestHouse};

use crate::answers::median;
use crate::estate::{Tenant, house_with, report, served_again, settle};
use crate::network::behind_a_proxy;
use crate::watch::expect_connections;

/// Service is back after the server is.
const BACK: Duration = Duration::from_secs(2);
/// A request for a cluster that is known to be away is answered.
const AT_ONCE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it stays away once it counts as away: it comes back at another moment of the data plane's attempts each time.
const AWAY: [Duration; 3] = [Duration::from_millis(1300), Duration::from_millis(2700), Duration::from_millis(4100)];

/// How long one request took to be refused.
async fn refused(tenant: &Tenant) -> Duration {
    let seen = tenant.get(&tenant.file_path()).await.expect("an answer");
    assert_eq!((seen.status, seen.wrong(&tenant.mark)), (503, None), "{seen:?}");
    seen.took
}

/// Waits until the cluster counts as away, and asserts what is answered then.
async fn expect_quick_refusals(tenants: &[Tenant], what: &str) {
    let begun = Instant::now();
    // What was lent when the server fell silent ends by its own limits.
    while futures::future::join_all(tenants.iter().map(refused)).await.into_iter().any(|took| took > AT_ONCE * 4) {
        assert!(begun.elapsed() < PATIENCE, "{what}: requests go on waiting");
    }
    let after = begun.elapsed();
    let (mut all, mut others) = (Vec::new(), Vec::new());
    for turn in 0..21 {
        let tenant = &tenants[turn % tenants.len()];
        all.push(refused(tenant).await);
        let other = tenant.get("/v1/nowhere").await.expect("an answer");
        assert_eq!(other.status, 404);
        others.push(other.took);
    }
    // What this machine takes for any answer whatever, while it builds something else perhaps, is not the point.
    let (refused, other) = (median(all), median(others));
    report(&format!("{what}: away after {after:?}, refused within {refused:?}, other requests {other:?}"));
    assert!(refused < AT_ONCE + other, "{what}: {refused:?}, other requests {other:?}");
}

/// How long it takes from nothing on this machine, while it builds something else perhaps.
async fn cold(cluster: &TestCluster, tenants: &[Tenant]) -> Duration {
    expect_connections(cluster, "true", 0, "all are cold").await;
    served_again(tenants, "cold").await
}

fn expect_back(what: &str, cold: Duration, all: Vec<Duration>) {
    let median = median(all);
    report(&format!("{what}: back after {median:?}, of which opening takes {cold:?}"));
    assert!(median < BACK + cold, "{what}: back only after {median:?}, of which opening takes {cold:?}");
}

/// A house whose background work opens nothing.
async fn quiet_house() -> TestHouse {
    house_with(|settings| settings.work.poll = Duration::from_secs(3600)).await
}

#[tokio::test]
async fn a_server_that_was_stopped_is_used_again_soon_after_it_goes_on() {
    let house = quiet_house().await;
    let cluster = TestCluster::private().await;
    house.register("further", &cluster).await;
    let tenants = settle(&house, "further", 3, &["dedicated"]).await;
    let (cold, mut all) = (cold(&cluster, &tenants).await, Vec::new());
    for away in AWAY {
        let frozen = cluster.freeze();
        expect_quick_refusals(&tenants, "stopped").await;
        tokio::time::sleep(away).await;
        frozen.thaw();
        all.push(served_again(&tenants, "stopped").await);
    }
    expect_back("stopped", cold, all);
}

#[tokio::test]
async fn a_server_whose_packets_were_lost_is_used_again_soon_after_they_arrive() {
    let behind = behind_a_proxy(quiet_house().await, 3, &["dedicated"]).await;
    let (cold, mut all) = (cold(&behind.cluster, &behind.tenants).await, Vec::new());
    for away in AWAY {
        // What the proxy swallows of a connection is lost for good, where the system would send it again: so there is none.
        expect_connections(&behind.cluster, "true", 0, "all are cold").await;
        behind.proxy.swallow();
        expect_quick_refusals(&behind.tenants, "lost").await;
        tokio::time::sleep(away).await;
        behind.proxy.heal();
        all.push(served_again(&behind.tenants, "lost").await);
    }
    expect_back("lost", cold, all);
}
