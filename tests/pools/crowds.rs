//! Many requests at once, of one tenant and beside it.

use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use reqwest::Method;
use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::json;

use crate::answers;
use crate::estate::{BUDGET, ISOLATIONS, PER_TENANT, Tenant, house_with, report, settle};
use crate::watch::{Watch, connections, expect_connections};

const COLD: usize = 500;
const CROWD: usize = 1000;
/// How long each statement of the crowd takes.
const TURN: &str = "0.1";

/// A house that lets requests wait for as long as it takes.
async fn patient_house() -> TestHouse {
    house_with(|settings| {
        settings.pools.checkout_timeout = Duration::from_secs(60);
        settings.data_plane.request_timeout = Duration::from_secs(60);
    })
    .await
}

#[tokio::test]
async fn five_hundred_requests_at_once_open_no_more_connections_than_their_tenant_may_hold() {
    let house = patient_house().await;
    let cluster = TestCluster::private().await;
    house.register("further", &cluster).await;
    for tenant in &settle(&house, "further", 3, &ISOLATIONS).await {
        expect_connections(&cluster, "true", 0, "the tenant is cold").await;
        let watch = Watch::begin(&cluster);
        let begun = Instant::now();
        let path = tenant.file_path();
        let all = futures::future::join_all((0..COLD).map(|_| tenant.get(&path))).await;
        for seen in all {
            let seen = seen.expect("an answer");
            assert_eq!((seen.status, seen.wrong(&tenant.mark)), (200, None), "{seen:?}");
        }
        let most = watch.most();
        report(&format!("cold, {}: {COLD} requests in {:?} on {most} connections", tenant.isolation, begun.elapsed()));
        assert!((1..=PER_TENANT).contains(&most), "{most} connections of a tenant that may hold {PER_TENANT}");
    }
}

/// The tenant's new workspaces take their time.
async fn slow_down(house: &TestHouse, cluster: &TestCluster, tenant: &Tenant) {
    let id = tenant.id.parse::<rowhouse_domain::TenantId>().unwrap().as_uuid();
    let rows = house.rows(&format!("select database_name, schema_name from tenants where id = '{id}'")).await;
    let admin = cluster.admin(rows[0].try_get(0).unwrap()).await;
    let schema: String = rows[0].try_get(1).unwrap();
    let slow = format!(
        "set search_path = {schema};
         create function dawdle() returns trigger language plpgsql as $$
             begin perform pg_sleep({TURN}); return new; end $$;
         create trigger dawdle before insert on workspaces for each row when (new.tenant_id = '{id}')
             execute function dawdle()"
    );
    admin.run(&slow).await.unwrap();
}

/// The tenant's next request, of a kind that is not slow.
async fn one_request(tenant: &Tenant) -> Duration {
    let seen = tenant.get(&tenant.file_path()).await.expect("an answer");
    assert_eq!(seen.status, 200, "{seen:?}");
    seen.took
}

async fn is_delayed_little(isolation: &'static str) {
    let house = patient_house().await;
    let cluster = TestCluster::private().await;
    house.register("further", &cluster).await;
    let tenants = settle(&house, "further", 3, &[isolation]).await;
    let (noisy, quiet, before) = (&tenants[0], &tenants[1], &tenants[2]);
    slow_down(&house, &cluster, noisy).await;
    expect_connections(&cluster, "true", 0, "all are cold").await;
    let unloaded = one_request(before).await;
    let path = "/v1/workspaces";
    let mut crowd: FuturesUnordered<_> = (0..CROWD)
        .map(|number| {
            let body = json!({"name": format!("{} {number}", noisy.mark)});
            answers::send(noisy.data.request(Method::POST, path).json(&body))
        })
        .collect();
    let mut others = std::pin::pin!(async {
        // The crowd has all that it may have.
        while connections(&cluster, "wait_event = 'PgSleep'").await < PER_TENANT {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let first = one_request(quiet).await;
        let second = one_request(quiet).await;
        (first, second)
    });
    let mut served = 0;
    let (first, second) = loop {
        tokio::select! {
            some = crowd.next() => served += usize::from(some.flatten().is_some_and(|seen| seen.status == 201)),
            took = &mut others => break took,
        }
    };
    report(&format!(
        "crowded by {CROWD}, {isolation}: unloaded {unloaded:?}, first {first:?}, second {second:?}, {served} of the crowd served"
    ));
    assert!(served < CROWD / 2, "the crowd was gone already");
    let bound = unloaded * 10 + Duration::from_secs(1);
    assert!(first < bound && second < bound, "{first:?} and {second:?} beside a crowd, {unloaded:?} without one");
    drop(crowd);
    assert!(connections(&cluster, "true").await <= BUDGET);
}

#[tokio::test]
async fn a_crowd_delays_another_tenant_by_little() {
    is_delayed_little("dedicated").await;
}

#[tokio::test]
async fn a_crowd_delays_a_tenant_of_the_same_tables_by_little() {
    is_delayed_little("shared").await;
}

/// As many noisy tenants as it takes to use up the budget: whoever comes then waits for one turn, not for all of theirs.
#[tokio::test]
async fn who_comes_when_the_budget_is_spent_waits_for_a_turn_and_not_for_the_crowd() {
    let house = patient_house().await;
    let cluster = TestCluster::private().await;
    house.register("further", &cluster).await;
    let tenants = settle(&house, "further", 5, &["dedicated"]).await;
    let (quiet, noisy) = tenants.split_last().unwrap();
    for tenant in noisy {
        slow_down(&house, &cluster, tenant).await;
    }
    expect_connections(&cluster, "true", 0, "all are cold").await;
    let mut crowd: FuturesUnordered<_> = (0..CROWD)
        .map(|number| {
            let tenant = &noisy[number % noisy.len()];
            let body = json!({"name": format!("{} {number}", tenant.mark)});
            answers::send(tenant.data.request(Method::POST, "/v1/workspaces").json(&body))
        })
        .collect();
    let mut others = std::pin::pin!(async {
        while connections(&cluster, "wait_event = 'PgSleep'").await < BUDGET {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        one_request(quiet).await
    });
    let mut served = 0;
    let first = loop {
        tokio::select! {
            some = crowd.next() => served += usize::from(some.flatten().is_some_and(|seen| seen.status == 201)),
            took = &mut others => break took,
        }
    };
    report(&format!("crowded out of the budget: first {first:?}, {served} of the crowd of {CROWD} served"));
    assert!(served < CROWD / 2, "the crowd was gone already");
    assert!(first < Duration::from_secs(2), "the first request took {first:?}");
}
