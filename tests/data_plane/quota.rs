//! Quotas of organization, tenant and workspace, exact and given back.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;

#[tokio::test]
async fn each_level_refuses_by_its_name() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let tenant = format!("/v1/tenants/{}", given.tenant);
    let organization = format!("/v1/organizations/{}", given.organization);
    let workspace = format!("/v1/workspaces/{}", given.workspace);
    let upload = |name: &str| format!("/v1/files?workspace_id={}&name={name}", given.workspace);
    let _ = given.data.patch(&workspace, &json!({"storage_quota": 10})).await.expect(200);
    let problem = given.data.upload(&upload("a"), "elf bytes..").await.problem(413, "quota_exceeded");
    assert_eq!(
        (problem["level"].as_str(), problem["limit"].as_i64(), problem["used"].as_i64()),
        (Some("workspace"), Some(10), Some(0))
    );
    let _ = given.data.patch(&workspace, &json!({"storage_quota": null})).await.expect(200);
    let _ = house.admin.patch(&tenant, &json!({"storage_quota": 10})).await.expect(200);
    let problem = given.data.upload(&upload("a"), "elf bytes..").await.problem(413, "quota_exceeded");
    assert_eq!(problem["level"], "tenant");
    let _ = house.admin.patch(&organization, &json!({"storage_quota": 10})).await.expect(200);
    let problem = given.data.upload(&upload("a"), "elf bytes..").await.problem(413, "quota_exceeded");
    assert_eq!(problem["level"], "organization");
    let _ = given.data.upload(&upload("a"), "ten bytes.").await.expect(201);
    house.expect_reserved(0).await;
    house.expect_used(10).await;
}

#[tokio::test]
async fn many_at_once_never_pass_the_limit_by_a_byte() {
    // Every racer is let in at once.
    let house = crate::house_with(|settings| settings.uploads.parallel = 200).await;
    let given = house.tenant().await;
    let _ = house
        .admin
        .patch(&format!("/v1/tenants/{}", given.tenant), &json!({"storage_quota": 10_500}))
        .await
        .expect(200);
    let racers = (0..30).map(|number: u8| {
        let data = given.data.clone();
        let path = format!("/v1/files?workspace_id={}&name={number}", given.workspace);
        // Another content each time: equal ones count as well, but are stored once.
        async move { data.upload(&path, vec![number; 1_000]).await.status.as_u16() }
    });
    let answers = futures::future::join_all(racers).await;
    assert_eq!(answers.iter().filter(|status| **status == 201).count(), 10, "{answers:?}");
    assert!(answers.iter().all(|status| [201, 413].contains(status)), "{answers:?}");
    house.expect_used(10_000).await;
    house.expect_reserved(0).await;
    let usage = given.data.get("/v1/usage").await.expect(200).json();
    assert_eq!(usage["used_storage"], 10_000, "{usage}");
}

#[tokio::test]
async fn what_is_committed_stays_counted_while_its_usage_waits() {
    let house = crate::house_with(|settings| settings.uploads.reservation_ttl = Duration::from_millis(1_500)).await;
    let given = house.tenant().await;
    house.sql("revoke execute on function usage_record_all from rowhouse_data").await;
    for number in 0..5u8 {
        let _ = given.upload(&number.to_string(), vec![number; 1_000]).await;
    }
    // An upload that comes to nothing holds nothing for longer than its time.
    house
        .sql(&format!(
            "select quota_reserve(gen_random_uuid(), id, 77, interval '1 millisecond') from tenants where id = '{}'",
            given.tenant.parse::<rowhouse_domain::TenantId>().unwrap().as_uuid()
        ))
        .await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    house.sql("select quota_expire(100)").await;
    house.expect_reserved(5_000).await;
    house.sql("grant execute on function usage_record_all to rowhouse_data").await;
    house.expect_used(5_000).await;
    house.expect_reserved(0).await;
}

#[tokio::test]
async fn usage_does_not_wait_for_files_that_take_long_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let slow = folder.path().join("slow");
    std::fs::write(&slow, "#!/bin/sh\nexec sleep 40\n").unwrap();
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755)).unwrap();
    let house = crate::house_with(|settings| {
        settings.work.parallel = 1;
        settings.work.extractor = slow;
        settings.uploads.reservation_ttl = Duration::from_secs(1);
    })
    .await;
    let given = house.tenant().await;
    for number in 0..6u8 {
        let _ = given.upload(&format!("{number}.txt"), format!("number {number}")).await;
    }
    house.expect_used(6 * 8).await;
    house.expect_reserved(0).await;
}
