//! What can't be read is 400, what can and is not valid is 422, and nothing is ever 500.

use reqwest::Method;
use rowhouse_testkit::{Answer, TestHouse, Wild};
use serde_json::json;

#[tokio::test]
async fn bodies_that_can_not_be_used_are_named() {
    let house = TestHouse::start().await;
    let post = |body: &'static str, kind: &'static str| {
        let request = house.admin.request(Method::POST, "/v1/organizations").header("content-type", kind).body(body);
        Answer::of(request)
    };
    post("{", "application/json").await.problem(400, "malformed_json");
    post("", "application/json").await.problem(400, "malformed_json");
    post("\u{0}", "application/json").await.problem(400, "malformed_json");
    post("name=x", "application/x-www-form-urlencoded").await.problem(415, "unsupported_media_type");
    for (body, pointer) in [
        (r#"{"email": "a@b.example"}"#, "/name"),
        (r#"{"name": 7, "email": "a@b.example"}"#, "/name"),
        (r#"{"name": "x", "email": "nobody"}"#, "/email"),
        (r#"{"name": "x", "email": "a@b.example", "color": "red"}"#, "/color"),
        (r#"{"name": "x", "email": "a@b.example", "subscription_tier": "gold"}"#, "/subscription_tier"),
        (r#"{"name": "x", "email": "a@b.example", "storage_quota": -1}"#, "/storage_quota"),
        (r#"{"name": "line\nbreak", "email": "a@b.example"}"#, "/name"),
        (r#"{"name": "nul\u0000", "email": "a@b.example"}"#, "/name"),
        (r#"{"name": "org_01h455vb4pex5vsknk084sn02q", "email": "a@b.example"}"#, "/name"),
    ] {
        let problem = post(body, "application/json").await.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_cut() {
    let house = TestHouse::start().await;
    let body = format!(r#"{{"name": "{}"}}"#, "x".repeat(2 * 1024 * 1024));
    let request = house.admin.request(Method::POST, "/v1/organizations").header("content-type", "application/json");
    Answer::of(request.body(body)).await.problem(413, "too_large");
}

#[tokio::test]
async fn ids_cursors_and_queries_that_can_not_be_read() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let tenant_id = organization.replace("org_", "ten_");
    for path in [
        "/v1/organizations/42".to_owned(),
        format!("/v1/organizations/{tenant_id}"),
        format!("/v1/tenants/{organization}"),
    ] {
        house.admin.get(&path).await.problem(400, "malformed_id");
    }
    house.admin.get("/v1/organizations?cursor=%25%25").await.problem(400, "malformed_cursor");
    house.admin.get("/v1/organizations?limit=0").await.problem(422, "invalid_request");
    house.admin.get("/v1/organizations?limit=many").await.problem(422, "invalid_request");
    house.admin.get("/v1/organizations?colour=red").await.problem(422, "invalid_request");
}

#[tokio::test]
async fn addresses_and_methods_that_do_not_exist() {
    let house = TestHouse::start().await;
    house.admin.get("/v1/nothing").await.problem(404, "no_such_route");
    let answer = house.admin.delete("/v1/organizations").await;
    assert!(answer.header("allow").contains("POST"));
    answer.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn another_organizations_things_do_not_exist() {
    let house = TestHouse::start().await;
    let (own, other) = (house.tenant().await, house.tenant().await);
    let scopes = ["manage_tenants", "manage_members", "manage_api_keys", "read_usage"];
    let key = house.organization_key(&own.organization, &scopes).await;
    let _ = key.get(&format!("/v1/tenants/{}", own.tenant)).await.expect(200);
    let unknown = other.tenant.replace(&other.tenant[10..14], "zzzz");
    for path in [
        format!("/v1/organizations/{}", other.organization),
        format!("/v1/organizations/{}/tenants", other.organization),
        format!("/v1/tenants/{}", other.tenant),
        format!("/v1/tenants/{}/api-keys", other.tenant),
        format!("/v1/tenants/{}/database", other.tenant),
    ] {
        let foreign = key.get(&path).await.problem(404, "not_found");
        let missing = key.get(&path.replace(&other.tenant, &unknown)).await;
        // Word for word the same but for the id: nobody can tell what exists elsewhere.
        if path.contains(&other.tenant) {
            assert_eq!(foreign["title"], missing.problem(404, "not_found")["title"]);
        }
    }
    let tenants = format!("/v1/organizations/{}/tenants", other.organization);
    key.post(&tenants, &json!({"name": "intruder"})).await.problem(404, "not_found");
    key.delete(&format!("/v1/tenants/{}", other.tenant)).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let key = house.organization_key(&given.organization, &["read_usage"]).await;
    let problem = key.get(&format!("/v1/tenants/{}", given.tenant)).await.problem(403, "missing_scope");
    assert!(problem["detail"].as_str().unwrap().contains("manage_tenants"), "{problem}");
}

#[tokio::test]
async fn whatever_is_asked_no_answer_is_a_failure_of_ours() {
    let house = TestHouse::start().await;
    let _ = house.tenant().await;
    // Neither its own key, nor servers that may be anywhere.
    let may_send = |method: &Method, path: &str| {
        let takes_keys_away = *method == Method::DELETE && path.contains("key");
        let names_servers = path.starts_with("/v1/clusters") && *method != Method::GET;
        !takes_keys_away && !names_servers
    };
    let mut wild = Wild::new(&house.admin, 1, may_send).await;
    let mut answered = 0;
    for _ in 0..3_000 {
        let Some((shown, answer)) = wild.send(&house.admin).await else { continue };
        answer.expect_of_caller(&shown);
        answered += 1;
    }
    assert!(answered > 1_000, "only {answered} requests could be sent");
}
