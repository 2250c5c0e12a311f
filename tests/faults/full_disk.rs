//! The disk of a cluster is full.

use rowhouse_testkit::{SmallDisk, TestCluster, TestHouse, open_to_all};
use serde_json::json;
use tempfile::TempDir;

use crate::house::{all_serve, organization, reached};

#[tokio::test]
async fn a_full_disk_fails_the_tenant_that_is_being_made_and_nothing_else() {
    let house = TestHouse::start_with(|settings| settings.provisioning.max_attempts = 2).await;
    let organization = organization(&house).await;
    let disk = SmallDisk::mount(160);
    let log = TempDir::new().unwrap();
    open_to_all(log.path());
    let cluster = TestCluster::private_in(&disk.path().join("cluster"), log.path()).await;
    house.register("small", &cluster).await;
    let path = format!("/v1/organizations/{organization}/tenants");
    let wish = |name: &str| json!({"name": name, "cluster": "small"});
    let first = house.admin.post(&path, &wish("first")).await.expect(201).text("id");
    all_serve(&house, std::slice::from_ref(&first)).await;
    disk.fill();
    house.admin.post(&path, &wish("second")).await.problem(503, "provisioning_failed");
    reached(&house, "failed", 1).await;
    let second: String =
        house.rows("select id::text from tenants where status = 'failed'").await[0].try_get(0).unwrap();
    let second = rowhouse_domain::TenantId::from_uuid(second.parse().unwrap()).to_string();
    let operation = house.rows("select error_code from operations where state = 'failed'").await;
    assert_eq!(operation[0].try_get::<_, String>(0).unwrap(), "insufficient_storage");
    // Who is there is served, as far as nothing has to be written.
    let data = house.tenant_key(&first, &["read_files"]).await;
    let _ = data.get("/v1/files").await.expect(200);
    disk.free();
    let _ = house.admin.post(&format!("/v1/tenants/{second}/resume"), &json!({})).await.expect(200);
    reached(&house, "active", 2).await;
    all_serve(&house, std::slice::from_ref(&second)).await;
    house.expect_no_differences().await;
    drop(cluster);
}
