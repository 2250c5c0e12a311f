//! PostgreSQL is restarted in the middle of it.

use std::time::Duration;

use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::json;

use crate::house::{all_serve, ask, organization, reached};

#[tokio::test]
async fn tenants_arrive_though_their_cluster_is_restarted_under_them() {
    let house = TestHouse::start_with(|settings| {
        settings.provisioning.max_attempts = 30;
        settings.provisioning.lease = Duration::from_secs(2);
    })
    .await;
    let organization = organization(&house).await;
    let mut further = TestCluster::private().await;
    house.register("further", &further).await;
    let path = format!("/v1/organizations/{organization}/tenants");
    let mut tenants = Vec::new();
    for round in 0..3 {
        for isolation in ["dedicated", "schema", "shared", "dedicated"] {
            let name = format!("{isolation} {round} {}", tenants.len());
            let body = json!({"name": name, "isolation": isolation, "cluster": "further"});
            tenants.push(ask(&house, &path, &body).await["tenant_id"].as_str().unwrap().to_owned());
        }
        // Each round is caught at another point of its work.
        tokio::time::sleep(Duration::from_millis(60 * round)).await;
        further = further.stop().await.start().await;
    }
    reached(&house, "active", tenants.len()).await;
    house.expect_no_differences().await;
    all_serve(&house, &tenants).await;
    drop(further);
}
