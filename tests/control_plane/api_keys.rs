//! Keys: shown once, scoped, expiring, revoked at once.

use reqwest::Method;
use rowhouse_testkit::{Answer, TestHouse};
use serde_json::json;

#[tokio::test]
async fn a_key_is_shown_once() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let keys = format!("/v1/tenants/{}/api-keys", given.tenant);
    let made = house.admin.post(&keys, &json!({"name": "app", "scopes": ["read_files"]})).await.expect(201);
    let secret = made.text("key");
    assert!(secret.starts_with("rht_"));
    let listed = house.admin.get(&keys).await.expect(200);
    let body = String::from_utf8(listed.bytes).unwrap();
    let hidden = secret.rsplit('_').next().unwrap();
    assert!(!body.contains(hidden) && !body.contains("hash"), "{body}");
    assert!(body.contains(secret.split('_').nth(1).unwrap()), "the prefix finds a key in the list");
}

#[tokio::test]
async fn a_revoked_key_fails_within_a_second() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let keys = format!("/v1/tenants/{}/api-keys", given.tenant);
    let made = house.admin.post(&keys, &json!({"name": "app", "scopes": ["read_files"]})).await.expect(201);
    let client = house.data.with_key(&made.text("key"));
    let _ = client.get("/v1/workspaces").await.expect(200);
    for _ in 0..2 {
        let _ = house.admin.delete(&format!("{keys}/{}", made.text("id"))).await.expect(204);
    }
    let revoked = std::time::Instant::now();
    while client.get("/v1/workspaces").await.status == 200 {
        assert!(revoked.elapsed() < std::time::Duration::from_secs(1), "the notice took too long");
    }
    client.get("/v1/workspaces").await.problem(401, "revoked_key");
}

#[tokio::test]
async fn no_key_is_made_for_a_deleted_tenant() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let tenant = format!("/v1/tenants/{}", given.tenant);
    let (keys, wanted) = (format!("{tenant}/api-keys"), json!({"name": "app", "scopes": ["read_files"]}));
    assert!(house.admin.delete(&tenant).await.status.is_success());
    house.admin.post(&keys, &wanted).await.problem(409, "invalid_transition");
    let _ = house.admin.post(&format!("{tenant}/restore"), &json!({})).await.expect(200);
    let _ = house.admin.post(&keys, &wanted).await.expect(201);
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let keys = format!("/v1/organizations/{organization}/api-keys");
    let past = json!({"name": "late", "scopes": ["read_usage"], "expires_at": "2020-01-01T00:00:00Z"});
    house.admin.post(&keys, &past).await.problem(422, "invalid_request");
    let key = house.admin.post(&keys, &json!({"name": "soon", "scopes": ["read_usage"]})).await.expect(201);
    house.sql("update org_api_keys set expires_at = now() - interval '1 second'").await;
    let client = house.admin.with_key(&key.text("key"));
    client.get(&format!("/v1/organizations/{organization}")).await.problem(401, "expired_key");
}

#[tokio::test]
async fn scopes_are_known_and_fit_the_kind_of_key() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let tenant_keys = format!("/v1/tenants/{}/api-keys", given.tenant);
    let organization_keys = format!("/v1/organizations/{}/api-keys", given.organization);
    for (keys, scope) in [(&tenant_keys, "fly"), (&tenant_keys, "manage_tenants"), (&organization_keys, "write_files")]
    {
        let problem =
            house.admin.post(keys, &json!({"name": "x", "scopes": [scope]})).await.problem(422, "invalid_request");
        assert!(problem["errors"][0]["pointer"].as_str().unwrap().starts_with("/scopes"), "{problem}");
    }
}

#[tokio::test]
async fn keys_that_are_no_keys_are_refused_with_a_stable_code() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let path = format!("/v1/organizations/{organization}");
    house.admin.anonymous().get(&path).await.problem(401, "missing_credentials");
    let good = house.admin.key().to_owned();
    let mut mistyped = good.clone();
    let last = mistyped.pop().unwrap();
    mistyped.push(if last == 'a' { 'b' } else { 'a' });
    for bad in ["nonsense", "rhp_x_y", mistyped.as_str(), &good[1..]] {
        let answer = house.admin.with_key(bad).get(&path).await;
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"rowhouse\"");
        answer.problem(401, "malformed_key");
    }
    // Well-formed, and of nobody.
    let stranger = rowhouse_keys::PlainApiKey::generate(rowhouse_keys::KeyKind::Platform, "");
    house.admin.with_key(stranger.reveal()).get(&path).await.problem(401, "unknown_key");
    let basic = house.admin.anonymous().request(Method::GET, &path).header("authorization", "Basic dTpw");
    Answer::of(basic).await.problem(401, "missing_credentials");
}

#[tokio::test]
async fn a_key_opens_its_own_plane_only() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let path = format!("/v1/organizations/{}", given.organization);
    house.admin.with_key(given.data.key()).get(&path).await.problem(401, "wrong_key_kind");
    house.data.with_key(house.admin.key()).get("/v1/workspaces").await.problem(401, "wrong_key_kind");
    let organization = house.organization_key(&given.organization, &["manage_tenants"]).await;
    house.data.with_key(organization.key()).get("/v1/workspaces").await.problem(401, "wrong_key_kind");
}

#[tokio::test]
async fn a_repeated_creation_makes_one_key_and_shows_the_secret_once() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let path = format!("/v1/organizations/{organization}/api-keys");
    let send = |name: &'static str| {
        let body = json!({"name": name, "scopes": ["read_usage"]});
        Answer::of(house.admin.request(Method::POST, &path).header("idempotency-key", "once").json(&body))
    };
    let first = send("app").await.expect(201);
    let second = send("app").await.expect(201);
    assert_eq!(first.text("id"), second.text("id"));
    assert!(second.json()["key"].is_null());
    send("other").await.problem(422, "idempotency_mismatch");
    let listed = house.admin.get(&path).await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_is_charged_to_an_account_of_its_own_tenant_only() {
    let house = TestHouse::start().await;
    let (own, other) = (house.tenant().await, house.tenant().await);
    let keys = format!("/v1/tenants/{}/api-keys", own.tenant);
    let account = async |given: &str, is_active: bool| {
        let id = rowhouse_domain::AccountId::new();
        let tenant = given.parse::<rowhouse_domain::TenantId>().unwrap().as_uuid();
        let (uuid, insert) = (id.as_uuid(), "insert into accounts (id, tenant_id, is_active)");
        house.sql(&format!("{insert} values ('{uuid}', '{tenant}', {is_active})")).await;
        id
    };
    let body = |account| json!({"name": "app", "scopes": ["write_files"], "account_id": account});
    let good = account(&own.tenant, true).await;
    let made = house.admin.post(&keys, &body(good)).await.expect(201);
    let read = house.admin.get(&format!("{keys}/{}", made.text("id"))).await.expect(200);
    assert_eq!(read.text("account_id"), good.to_string());
    let unknown = rowhouse_domain::AccountId::new();
    for bad in [account(&other.tenant, true).await, account(&own.tenant, false).await, unknown] {
        let problem = house.admin.post(&keys, &body(bad)).await.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], "/account_id");
    }
}
