//! Organizations: made with the limits of their tier, changed under `If-Match`, deleted when empty.

use reqwest::Method;
use rowhouse_testkit::{Answer, TestHouse};
use serde_json::json;

use crate::operational::eventually;

#[tokio::test]
async fn a_new_organization_has_the_limits_of_its_tier() {
    let house = TestHouse::start().await;
    let body = json!({"name": "Acme", "email": "ops@acme.example", "subscription_tier": "business"});
    let made = house.admin.post("/v1/organizations", &body).await.expect(201);
    let id = made.text("id");
    assert_eq!(made.header("location"), format!("/v1/organizations/{id}"));
    let free =
        house.admin.post("/v1/organizations", &json!({"name": "Free", "email": "a@free.example"})).await.expect(201);
    assert!(made.json()["storage_quota"].as_i64() > free.json()["storage_quota"].as_i64());
    assert_eq!(free.json()["subscription_tier"], "free");
    let read = house.admin.get(&format!("/v1/organizations/{id}")).await.expect(200);
    assert_eq!(read.json(), made.json());
}

#[tokio::test]
async fn an_email_address_is_used_once() {
    let house = TestHouse::start().await;
    let body = |email: &str| json!({"name": "Acme", "email": email});
    let _ = house.admin.post("/v1/organizations", &body("ops@acme.example")).await.expect(201);
    house.admin.post("/v1/organizations", &body("OPS@acme.example")).await.problem(409, "email_taken");
}

#[tokio::test]
async fn a_change_needs_the_version_that_was_read() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let path = format!("/v1/organizations/{organization}");
    let old = house.admin.get(&path).await.expect(200).header("etag").to_owned();
    let changed = house.admin.patch(&path, &json!({"display_name": "Acme Inc."})).await.expect(200);
    assert_eq!(changed.json()["display_name"], "Acme Inc.");
    assert_ne!(changed.header("etag"), old);
    let stale = house.admin.request(Method::PATCH, &path).header("if-match", &old).json(&json!({"name": "Other"}));
    Answer::of(stale).await.problem(412, "precondition_failed");
    let fresh = house.admin.request(Method::PATCH, &path).header("if-match", changed.header("etag"));
    let _ = Answer::of(fresh.json(&json!({"name": "Other"}))).await.expect(200);
}

#[tokio::test]
async fn lists_come_in_pages_that_miss_and_repeat_nothing() {
    let house = TestHouse::start().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(house.organization().await);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = house.admin.get(&format!("/v1/organizations?limit=2{cursor}")).await.expect(200).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    seen.sort();
    made.sort();
    assert_eq!(seen, made);
}

#[tokio::test]
async fn a_suspended_organizations_keys_and_tenants_are_refused() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let own = house.organization_key(&given.organization, &["manage_tenants", "read_usage"]).await;
    let path = format!("/v1/organizations/{}", given.organization);
    let _ = own.get(&path).await.expect(200);
    for status in ["suspended", "cancelled"] {
        let _ = house.admin.patch(&path, &json!({"subscription_status": status})).await.expect(200);
        own.get(&path).await.problem(403, "organization_suspended");
        // The data plane has its key in mind until it is told, a moment later.
        eventually("it is refused", async || given.data.get("/v1/workspaces").await.status == 403).await;
        given.data.get("/v1/workspaces").await.problem(403, "organization_suspended");
    }
    let _ = house.admin.patch(&path, &json!({"subscription_status": "active"})).await.expect(200);
    let _ = own.get(&path).await.expect(200);
    let _ = given.data.get("/v1/workspaces").await.expect(200);
}

#[tokio::test]
async fn an_organization_with_live_tenants_stays() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let path = format!("/v1/organizations/{}", given.organization);
    house.admin.delete(&path).await.problem(409, "organization_has_tenants");
    let _ = house.admin.delete(&format!("/v1/tenants/{}", given.tenant)).await;
    assert!(house.admin.delete(&path).await.status.is_success());
    house.admin.get(&path).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_quota_is_not_set_below_a_tenants() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let tenants = format!("/v1/organizations/{organization}/tenants");
    house
        .admin
        .post(&tenants, &json!({"name": "big", "storage_quota": 9_000_000_000_000_000_i64}))
        .await
        .problem(422, "invalid_request");
    let _ = house.admin.post(&tenants, &json!({"name": "fits", "storage_quota": 1_000_000})).await.expect(201);
    let path = format!("/v1/organizations/{organization}");
    house.admin.patch(&path, &json!({"storage_quota": 999_999})).await.problem(409, "quota_below_tenant");
    let _ = house.admin.patch(&path, &json!({"storage_quota": 1_000_000})).await.expect(200);
}
