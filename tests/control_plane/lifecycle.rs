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

#[tokio::test]
async fn an_organization_lifts_its_own_suspensions_only() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let organization = house.organization_key(&given.organization, &["manage_tenants"]).await;
    let tenant = format!("/v1/tenants/{}", given.tenant);
    let call = |wish: &str| format!("{tenant}/{wish}");
    let nothing = json!({});

    let suspended = organization.post(&call("suspend"), &nothing).await.expect(200).json();
    assert_eq!(suspended["suspended_by_kind"], "organization_key");
    let resumed = organization.post(&call("resume"), &nothing).await.expect(200).json();
    assert!(resumed["suspended_by_kind"].is_null(), "{resumed}");

    // What the platform suspends stays so, also where the organization was first, and through a deletion and back.
    let _ = organization.post(&call("suspend"), &nothing).await.expect(200);
    let taken_over = house.admin.post(&call("suspend"), &json!({"reason": "unpaid"})).await.expect(200).json();
    assert_eq!(
        (&taken_over["suspended_by_kind"], &taken_over["status_reason"]),
        (&json!("platform_key"), &json!("unpaid"))
    );
    organization.post(&call("suspend"), &nothing).await.problem(409, "invalid_transition");
    let refused = organization.post(&call("resume"), &nothing).await.problem(409, "invalid_transition");
    assert!(refused["detail"].as_str().unwrap().contains("only the platform can resume it"), "{refused}");
    organization.patch(&tenant, &json!({"status": "active"})).await.problem(409, "invalid_transition");
    let _ = organization.delete(&tenant).await.expect(204);
    let restored = organization.post(&call("restore"), &nothing).await.expect(200).json();
    assert_eq!((&restored["status"], &restored["suspended_by_kind"]), (&json!("suspended"), &json!("platform_key")));
    organization.post(&call("resume"), &nothing).await.problem(409, "invalid_transition");
    assert_eq!(house.admin.post(&call("resume"), &nothing).await.expect(200).json()["status"], "active");
}

#[tokio::test]
async fn a_deleted_tenants_workspaces_make_room_and_need_it_to_come_back() {
    let house = TestHouse::start().await;
    let given = house.tenant().await; // one workspace
    let (tenant, organization) =
        (format!("/v1/tenants/{}", given.tenant), format!("/v1/organizations/{}", given.organization));
    let counted = async || {
        let rows = house.rows("select used_workspaces::bigint from organizations").await;
        rows[0].try_get::<_, i64>(0).unwrap()
    };
    assert_eq!(counted().await, 1);
    let _ = house.admin.delete(&tenant).await.expect(204);
    assert_eq!(counted().await, 0);
    let _ = house.admin.patch(&organization, &json!({"max_workspaces": 0})).await.expect(200);
    let refused = house.admin.post(&format!("{tenant}/restore"), &json!({})).await.problem(422, "limit_reached");
    assert_eq!(refused["limit_name"], "max_workspaces");
    let _ = house.admin.patch(&organization, &json!({"max_workspaces": 1})).await.expect(200);
    let restored = house.admin.post(&format!("{tenant}/restore"), &json!({})).await.expect(200).json();
    assert_eq!((restored["used_workspaces"].as_i64(), counted().await), (Some(1), 1));
}
