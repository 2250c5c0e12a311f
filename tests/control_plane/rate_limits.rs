//! Rate limits of a tenant's or a key's own: who sets them, what they can be, how they are shown.

use reqwest::Method;
use rowhouse_domain::Scope;
use rowhouse_testkit::{Answer, TestHouse};
use serde_json::{Value, json};

#[tokio::test]
async fn a_limit_is_given_shown_and_taken_away() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let (ten, twenty) = (json!({"per_second": 10, "burst": 15}), json!({"per_second": 20, "burst": 25}));
    let tenants = format!("/v1/organizations/{organization}/tenants");
    let made = house.admin.post(&tenants, &json!({"name": "acme", "rate_limit": ten})).await.expect(201);
    assert_eq!(made.json()["rate_limit"], ten);
    let tenant = format!("/v1/tenants/{}", made.text("id"));
    assert_eq!(house.admin.get(&tenant).await.expect(200).json()["rate_limit"], ten);
    // Other changes leave it alone.
    assert_eq!(house.admin.patch(&tenant, &json!({"name": "other"})).await.expect(200).json()["rate_limit"], ten);
    let changed = house.admin.patch(&tenant, &json!({"rate_limit": twenty})).await.expect(200);
    assert_eq!(changed.json()["rate_limit"], twenty);
    assert_eq!(
        house.admin.patch(&tenant, &json!({"rate_limit": null})).await.expect(200).json()["rate_limit"],
        Value::Null
    );

    let keys = format!("{tenant}/api-keys");
    let body = json!({"name": "app", "scopes": ["read_files"], "rate_limit": ten});
    let made = house.admin.post(&keys, &body).await.expect(201);
    assert_eq!(made.json()["rate_limit"], ten);
    let key = format!("{keys}/{}", made.text("id"));
    let read = house.admin.get(&key).await.expect(200);
    assert_eq!(read.json()["rate_limit"], ten);
    assert_eq!(house.admin.get(&keys).await.expect(200).json()["items"][0]["rate_limit"], ten);
    let change = |tag: &str, limit: &Value| {
        let request = house.admin.request(Method::PATCH, &key).header("if-match", tag.to_owned());
        Answer::of(request.json(&json!({"rate_limit": limit})))
    };
    assert_eq!(change(read.header("etag"), &twenty).await.expect(200).json()["rate_limit"], twenty);
    change(read.header("etag"), &ten).await.problem(412, "precondition_failed");
    assert_eq!(house.admin.patch(&key, &json!({})).await.expect(200).json()["rate_limit"], twenty);
    assert_eq!(
        house.admin.patch(&key, &json!({"rate_limit": null})).await.expect(200).json()["rate_limit"],
        Value::Null
    );
    let log = house.admin.get("/v1/audit-logs?action=api_key.update").await.expect(200).json();
    let last = &log["items"][0];
    assert_eq!((&last["before"]["rate_limit"], &last["after"]["rate_limit"]), (&twenty, &Value::Null));

    let missing = format!("{keys}/{}", rowhouse_domain::KeyId::new());
    house.admin.patch(&missing, &json!({"rate_limit": null})).await.problem(404, "not_found");
    let other = house.tenant().await.tenant;
    let elsewhere = key.replace(tenant.rsplit('/').next().unwrap(), &other);
    house.admin.patch(&elsewhere, &json!({"rate_limit": ten})).await.problem(404, "not_found");
}

#[tokio::test]
async fn what_is_no_limit_is_refused() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let (tenants, tenant) =
        (format!("/v1/organizations/{}/tenants", given.organization), format!("/v1/tenants/{}", given.tenant));
    let keys = format!("{tenant}/api-keys");
    let key = house.admin.get(&keys).await.expect(200).json()["items"][0]["id"].as_str().unwrap().to_owned();
    let key = format!("{keys}/{key}");
    for (limit, pointer) in [
        (json!({"per_second": 1, "burst": 0}), "/rate_limit/burst"),
        (json!({"per_second": 1_000_001, "burst": 1}), "/rate_limit/per_second"),
        (json!({"per_second": 1, "burst": 1_000_001}), "/rate_limit/burst"),
        (json!({"per_second": -1, "burst": 1}), "/rate_limit/per_second"),
        (json!({"per_second": 1.5, "burst": 1}), "/rate_limit/per_second"),
        (json!({"per_second": 1}), "/rate_limit/burst"),
        (json!({"per_second": 1, "burst": 1, "per_hour": 1}), "/rate_limit/per_hour"),
        (json!(5), "/rate_limit"),
    ] {
        for answer in [
            house.admin.post(&tenants, &json!({"name": "x", "rate_limit": limit})).await,
            house.admin.patch(&tenant, &json!({"rate_limit": limit})).await,
            house.admin.post(&keys, &json!({"name": "x", "scopes": ["read_files"], "rate_limit": limit})).await,
            house.admin.patch(&key, &json!({"rate_limit": limit})).await,
        ] {
            let problem = answer.problem(422, "invalid_request");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{limit}: {problem}");
        }
    }
    // Only tenants' keys call the data plane.
    let body = json!({"name": "x", "scopes": ["read_usage"], "rate_limit": {"per_second": 1, "burst": 1}});
    let keys = format!("/v1/organizations/{}/api-keys", given.organization);
    assert_eq!(
        house.admin.post(&keys, &body).await.problem(422, "invalid_request")["errors"][0]["pointer"],
        "/rate_limit"
    );
}

#[tokio::test]
async fn an_organization_does_not_set_its_own_limits() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let all: Vec<&str> = Scope::ORGANIZATION.iter().map(|scope| scope.as_str()).collect();
    let insider = house.organization_key(&given.organization, &all).await;
    let (tenants, tenant) =
        (format!("/v1/organizations/{}/tenants", given.organization), format!("/v1/tenants/{}", given.tenant));
    let keys = format!("{tenant}/api-keys");
    let key = house.admin.get(&keys).await.expect(200).json()["items"][0]["id"].as_str().unwrap().to_owned();
    let limit = json!({"per_second": 1000, "burst": 1000});
    let new_key = json!({"name": "x", "scopes": ["read_files"], "rate_limit": limit});
    insider.post(&tenants, &json!({"name": "x", "rate_limit": limit})).await.problem(401, "wrong_key_kind");
    insider.post(&keys, &new_key).await.problem(401, "wrong_key_kind");
    // Taking one away may be raising it.
    for limit in [limit, Value::Null] {
        insider.patch(&tenant, &json!({"rate_limit": limit})).await.problem(401, "wrong_key_kind");
        insider.patch(&format!("{keys}/{key}"), &json!({"rate_limit": limit})).await.problem(401, "wrong_key_kind");
    }
    // The rest is its own, as ever.
    let _ = insider.post(&tenants, &json!({"name": "x"})).await.expect(201);
    let _ = insider.patch(&tenant, &json!({"name": "y"})).await.expect(200);
}
