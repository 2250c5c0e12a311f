//! Suspend, resume, delete, restore.

use rowhouse_testkit::TestHouse;
use serde_json::json;

use crate::operational::eventually;

#[tokio::test]
async fn a_suspended_tenant_is_refused_and_its_sessions_end() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let tenant = format!("/v1/tenants/{}", given.tenant);
    let suspended = house.admin.post(&format!("{tenant}/suspend"), &json!({"reason": "unpaid"})).await;
    assert!(suspended.status.is_success(), "{}", String::from_utf8_lossy(&suspended.bytes));
    given.data.get("/v1/workspaces").await.problem(403, "tenant_suspended");
    eventually("the tenant's sessions are ended", async || {
        let rows = house.rows("select count(*) from pg_stat_activity where usename like 'tenant_%' and usename in (select role_name from tenants)").await;
        rows[0].try_get::<_, i64>(0).unwrap() == 0
    })
    .await;
    let resumed = house.admin.post(&format!("{tenant}/resume"), &json!({})).await;
    assert!(resumed.status.is_success(), "{}", String::from_utf8_lossy(&resumed.bytes));
    eventually("the tenant serves again", async || given.data.get("/v1/workspaces").await.status == 200).await;
}

#[tokio::test]
async fn a_deleted_tenant_is_gone_for_its_users_and_can_be_brought_back() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let tenant = format!("/v1/tenants/{}", given.tenant);
    let file = given.upload("a.txt", "words").await;
    assert!(house.admin.delete(&tenant).await.status.is_success());
    assert!(!given.data.get("/v1/workspaces").await.status.is_success());
    house.admin.post(&format!("{tenant}/suspend"), &json!({})).await.problem(409, "invalid_transition");
    let restored = house.admin.post(&format!("{tenant}/restore"), &json!({})).await;
    assert!(restored.status.is_success(), "{}", String::from_utf8_lossy(&restored.bytes));
    eventually("the tenant serves again", async || {
        given.data.get(&format!("/v1/files/{file}/content")).await.bytes == b"words"
    })
    .await;
}

#[tokio::test]
async fn a_tenant_is_changed_but_not_its_database() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let tenant = format!("/v1/tenants/{}", given.tenant);
    let before = house.admin.get(&format!("{tenant}/database")).await.expect(200).json();
    let changed =
        house.admin.patch(&tenant, &json!({"name": "renamed", "metadata": {"tier": 1}})).await.expect(200).json();
    assert_eq!((changed["name"].as_str(), &changed["metadata"]), (Some("renamed"), &json!({"tier": 1})));
    let after = house.admin.get(&format!("{tenant}/database")).await.expect(200).json();
    assert_eq!(before["database"], after["database"]);
    house.admin.patch(&tenant, &json!({"isolation": "shared"})).await.problem(422, "invalid_request");
}
