//! The audit log: every change, every refused key, nothing secret.

use rowhouse_testkit::TestHouse;
use serde_json::json;

use crate::operational::eventually;

#[tokio::test]
async fn every_change_is_in_the_log_with_who_and_what() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let _ = house
        .admin
        .patch(&format!("/v1/organizations/{}", given.organization), &json!({"display_name": "New"}))
        .await
        .expect(200);
    let log = house.admin.get("/v1/audit-logs?limit=100").await.expect(200);
    let text = String::from_utf8(log.bytes.clone()).unwrap();
    for action in ["organization.create", "organization.update", "tenant.create", "api_key.create"] {
        assert!(
            text.contains(action) || text.contains(&action.replace("api_key", "tenant_api_key")),
            "{action} is missing in {text}"
        );
    }
    let secret = given.data.key().rsplit('_').next().unwrap();
    assert!(!text.contains(secret) && !text.contains("SCRAM-SHA-256"), "the log shows a secret");
    let items = log.json()["items"].as_array().unwrap().clone();
    let update = items.iter().find(|item| item["action"] == "organization.update").unwrap();
    assert_eq!(update["actor_kind"], "platform_key");
    assert_eq!(update["after"]["display_name"], "New", "{update}");
}

#[tokio::test]
async fn a_refused_key_leaves_a_row_without_the_key() {
    let house = TestHouse::start().await;
    let stranger = rowhouse_keys::PlainApiKey::generate(rowhouse_keys::KeyKind::Tenant, "");
    house.data.with_key(stranger.reveal()).get("/v1/workspaces").await.problem(401, "unknown_key");
    eventually("the refusal is in the log", async || {
        let text = String::from_utf8(house.admin.get("/v1/audit-logs?limit=100").await.expect(200).bytes).unwrap();
        assert!(!text.contains(stranger.reveal()));
        text.contains(stranger.prefix())
    })
    .await;
}
