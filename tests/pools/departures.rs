//! Clients that go away in the middle of what they asked for.

use std::time::{Duration, Instant};

use rowhouse_database::AdminConnection;
use rowhouse_testkit::{TestCluster, TestHouse};

use crate::answers::median;
use crate::estate::{ISOLATIONS, PER_TENANT, Tenant, house_with, report, settle};
use crate::watch::{connections, expect_connections};

/// What is promised, and what most of a few departures keep to.
const BOUND: Duration = Duration::from_millis(250);
const DEPARTURES: usize = 7;
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Of sessions: such as wait for a lock.
pub(crate) const RUNS: &str = "state = 'active' and wait_event_type = 'Lock'";

/// Locks a tenant's folders until the connection ends, or its transaction.
pub(crate) async fn hold_folders(house: &TestHouse, cluster: &TestCluster, tenant: &Tenant) -> AdminConnection {
    let id = tenant.id.parse::<rowhouse_domain::TenantId>().unwrap().as_uuid();
    let rows = house.rows(&format!("select database_name, schema_name from tenants where id = '{id}'")).await;
    let admin = cluster.admin(rows[0].try_get(0).unwrap()).await;
    let schema: String = rows[0].try_get(1).unwrap();
    admin.run(&format!("begin; lock table {schema}.folders in access exclusive mode")).await.unwrap();
    admin
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_query_with_it_and_frees_its_place() {
    let house = house_with(|settings| {
        settings.data_plane.request_timeout = PATIENCE;
        // Its sweeps look at the same table, and would wait in a connection that is counted here.
        settings.work.poll = Duration::from_secs(3600);
    })
    .await;
    let cluster = TestCluster::private().await;
    house.register("further", &cluster).await;
    for tenant in &settle(&house, "further", 3, &ISOLATIONS).await {
        let admin = hold_folders(&house, &cluster, tenant).await;
        let path = format!("/v1/folders?workspace_id={}", tenant.workspace);
        let (mut ends, mut nexts) = (Vec::new(), Vec::new());
        for _ in 0..DEPARTURES {
            let mut slow = Box::pin(futures::future::join_all((0..PER_TENANT).map(|_| tenant.get(&path))));
            let begun = Instant::now();
            while connections(&cluster, RUNS).await < PER_TENANT {
                let waited = tokio::time::timeout(Duration::from_millis(20), &mut slow).await;
                assert!(waited.is_err() && begun.elapsed() < PATIENCE, "the queries do not run: {waited:?}");
            }
            drop(slow);
            // All that the tenant may hold was held by those who went away.
            let next = tenant.file_path();
            let (end, next) =
                tokio::join!(expect_connections(&cluster, RUNS, 0, "abandoned queries end"), tenant.get(&next));
            let next = next.expect("an answer");
            assert_eq!(next.status, 200, "{next:?}");
            ends.push(end);
            nexts.push(next.took);
        }
        for (what, all) in [("queries ended", ends), ("the next request was served", nexts)] {
            let median = median(all);
            report(&format!("went away, {}: {what} after {median:?}", tenant.isolation));
            assert!(median < BOUND, "{what} only after {median:?}");
        }
        admin.run("rollback").await.unwrap();
    }
}
