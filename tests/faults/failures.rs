//! Steps that fail, and two control planes that want the same work.

use serde_json::json;

use crate::house::{PROVISION, PURGE, all_serve, ask, idle_house, organization, reached, wish};

#[tokio::test]
async fn a_step_that_fails_is_tried_again_and_converges() {
    let house = idle_house().await;
    let organization = organization(&house).await;
    let mut tenants = Vec::new();
    for isolation in ["dedicated", "schema", "shared"] {
        tenants.push(wish(&house, &organization, isolation, isolation).await);
    }
    // Each step fails once in all, whoever comes to it first; so later tries get further.
    let failpoints = |kind: &str, steps: &[&str]| {
        let points: Vec<String> = steps.iter().map(|step| format!("{kind}.{step}.fails=1*return")).collect();
        points.join(";")
    };
    let worker = house.control_plane_process(&failpoints("tenant_provision", &PROVISION));
    reached(&house, "active", tenants.len()).await;
    let failures = "select count(*) from operations where attempts > 1";
    assert!(house.rows(failures).await[0].try_get::<_, i64>(0).unwrap() >= 1, "nothing has failed");
    house.expect_no_differences().await;
    all_serve(&house, &tenants).await;
    for tenant in &tenants {
        let _ = house.admin.delete(&format!("/v1/tenants/{tenant}")).await.expect(204);
    }
    reached(&house, "deleted", tenants.len()).await;
    worker.kill().await;
    for tenant in &tenants {
        let name = house.admin.get(&format!("/v1/tenants/{tenant}")).await.expect(200).text("name");
        let _ = ask(&house, &format!("/v1/tenants/{tenant}/purge"), &json!({"name": name})).await;
    }
    let worker = house.control_plane_process(&failpoints("tenant_purge", &PURGE));
    reached(&house, "purged", tenants.len()).await;
    house.expect_no_differences().await;
    house.expect_stored_objects(0).await;
    worker.kill().await;
}

#[tokio::test]
async fn two_control_planes_share_the_work_and_do_nothing_twice() {
    let house = idle_house().await;
    let organization = organization(&house).await;
    let (one, other) = (house.control_plane_process(""), house.control_plane_process(""));
    let wishes = (0..18).map(|number| {
        let isolation = ["dedicated", "schema", "shared"][number % 3];
        let (house, organization) = (&house, &organization);
        async move { wish(house, organization, &format!("tenant {number}"), isolation).await }
    });
    let tenants = futures::future::join_all(wishes).await;
    reached(&house, "active", tenants.len()).await;
    house.expect_no_differences().await;
    all_serve(&house, &tenants).await;
    let workers = house.rows("select count(*) from audit_logs where action = 'tenant.activate'").await;
    assert_eq!(workers[0].try_get::<_, i64>(0).unwrap(), 18, "each was activated once");
    one.kill().await;
    other.kill().await;
}
