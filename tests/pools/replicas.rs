//! One of two data planes that share a cluster's connections is killed under load.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rowhouse_testkit::{Client, TestCluster};
use serde_json::json;

use crate::estate::{BUDGET, PER_TENANT, Tenant, house_with, report, settle};
use crate::load::{Kind, Load};
use crate::watch::{Watch, connections};

/// Connections to the cluster that are a data plane's own.
const FLOOR: usize = 2;
/// More than there are connections, so that there is use for all of them.
const TENANTS: usize = 12;
/// How long a lease lasts, and as long again.
const PATIENCE: Duration = Duration::from_secs(20);
/// Each life of a data plane has a name of its own.
const OF_ONE: &str = "application_name = (select min(application_name) from pg_stat_activity
    where starts_with(usename, 'tenant_') and starts_with(application_name, 'rowhouse_data '))";
const OF_ANOTHER: &str = "application_name > (select min(application_name) from pg_stat_activity
    where starts_with(usename, 'tenant_') and starts_with(application_name, 'rowhouse_data '))";

fn through(service: &Client, tenant: &Tenant) -> Tenant {
    Tenant {
        id: tenant.id.clone(),
        isolation: tenant.isolation,
        mark: tenant.mark.clone(),
        data: service.with_key(tenant.data.key()),
        workspace: tenant.workspace.clone(),
        file: tenant.file.clone(),
        content: tenant.content.clone(),
        content_tag: tenant.content_tag.clone(),
    }
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "after {PATIENCE:?} it is not so yet: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn what_a_killed_data_plane_held_is_the_others_and_never_more_than_there_is() {
    let house = house_with(|settings| {
        settings.pools.floor = FLOOR;
        // Not kept for one that may come back.
        settings.pools.floor_kept = Duration::from_secs(1);
    })
    .await;
    let cluster = TestCluster::private().await;
    let id = house.register("further", &cluster).await;
    let _ = house.admin.patch(&format!("/v1/clusters/{id}"), &json!({"budget": BUDGET})).await.expect(200);
    let tenants = Arc::new(settle(&house, "further", TENANTS, &["dedicated"]).await);
    let process = house
        .data_plane_process(&format!(
            "pools = {{ floor = {FLOOR}, cluster_budget = {BUDGET}, per_tenant = {PER_TENANT} }}\n"
        ))
        .await;
    let theirs = Arc::new(tenants.iter().map(|tenant| through(&process.client, tenant)).collect::<Vec<_>>());
    let watch = Watch::begin(&cluster);
    let kind = Kind { uploads: 10, ..Kind::default() };
    let (living, dead) = (Load::begin(&tenants, kind), Load::begin(&theirs, kind));
    until("both have more than their floors", async || {
        connections(&cluster, OF_ONE).await > FLOOR && connections(&cluster, OF_ANOTHER).await > FLOOR
    })
    .await;
    process.kill().await;
    // All of them at one moment there are now and then only: more tenants take turns than there are connections.
    let took = until("the living may have all of them, and makes use of more than its half", async || {
        let pools = house.data_admin.get("/v1/pools").await.expect(200).json();
        let further = pools["clusters"].as_array().unwrap().iter().find(|cluster| cluster["cluster"] == *id).unwrap();
        further["budget"] == BUDGET && connections(&cluster, OF_ONE).await > BUDGET / 2
    })
    .await;
    report(&format!("killed: its connections were the other's after {took:?}"));
    let (living, dead) = (living.end().await, dead.end().await);
    living.expect_no_complaints("living");
    assert_eq!(living.unanswered, 0, "the other data plane is well");
    assert!(dead.unanswered > 0, "it was killed in the middle of requests");
    dead.expect_no_complaints("dead");
    let most = watch.most();
    assert!(most <= BUDGET, "{most} connections are more than the budget");
}
