//! Steps that fail, and two control planes that want the same work.

use std::time::{Duration, Instant};

use rowhouse_testkit::{TestCluster, TestHouse};
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

#[tokio::test]
async fn what_died_with_its_control_plane_has_not_failed() {
    let house = idle_house().await;
    let organization = organization(&house).await;
    let tenant = wish(&house, &organization, "unlucky", "schema").await;
    // As many as may fail but one.
    for _ in 0..4 {
        house.control_plane_process("tenant_provision.role.ran=return").dies("its login").await;
    }
    let worker = house.control_plane_process("tenant_provision.migrate.fails=1*return");
    reached(&house, "active", 1).await;
    let (attempts, failures) = counted(&house).await;
    assert_eq!((attempts, failures), (6, 1), "four died, one failed, one came to the end");
    all_serve(&house, &[tenant]).await;
    worker.kill().await;
}

/// The attempts of the only operation, and how many of them have failed.
async fn counted(house: &TestHouse) -> (i32, i32) {
    let rows = house.rows("select attempts, failures from operations where kind <> 'tenant_login'").await;
    assert_eq!(rows.len(), 1, "there is one operation");
    (rows[0].try_get(0).unwrap(), rows[0].try_get(1).unwrap())
}

#[tokio::test]
async fn a_login_that_somebody_is_about_is_shut_when_they_are_done() {
    let house = TestHouse::start_with(|settings| settings.provisioning.max_attempts = 1).await;
    let organization = organization(&house).await;
    let path = format!("/v1/organizations/{organization}/tenants");
    let tenant = house.admin.post(&path, &json!({"name": "busy"})).await.expect(201).text("id");
    let _ = house.admin.delete(&format!("/v1/tenants/{tenant}")).await.expect(204);
    reached(&house, "deleted", 1).await;
    // What a control plane that was killed has left at the server.
    let role: String = house.rows("select role_name from tenants").await[0].try_get(0).unwrap();
    let left = TestCluster::get().admin("postgres").await;
    let lock = format!("begin; select pg_advisory_xact_lock(hashtextextended('rowhouse.login {role}', 0))");
    left.run(&lock).await.unwrap();
    left.run(&format!("alter role \"{role}\" nologin")).await.unwrap();
    let _ = ask(&house, &format!("/v1/tenants/{tenant}/purge"), &json!({"name": "busy"})).await;
    let waits = format!(
        "select pid from pg_stat_activity where wait_event_type = 'Lock' and query like '%rowhouse.login {role}%'"
    );
    let begun = Instant::now();
    while left.query(&waits, &[]).await.unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody waits for the login");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    left.run("commit").await.unwrap();
    reached(&house, "purged", 1).await;
}
