//! How far new tenants are kept apart: what decides it, and what the cluster then has.

use rowhouse_domain::{Isolation, Tier};
use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::{Value, json};

async fn create(house: &TestHouse, organization: &str, name: &str, isolation: Option<&str>) -> Value {
    let mut body = json!({"name": name});
    if let Some(isolation) = isolation {
        body["isolation"] = Value::from(isolation);
    }
    let path = format!("/v1/organizations/{organization}/tenants");
    let tenant = house.admin.post(&path, &body).await.expect(201).text("id");
    house.admin.get(&format!("/v1/tenants/{tenant}/database")).await.expect(200).json()
}

#[tokio::test]
async fn the_request_decides_then_the_tier_then_the_default() {
    let plain = TestHouse::start().await;
    let organization = plain.organization().await;
    assert_eq!(create(&plain, &organization, "one", None).await["isolation"], "dedicated");

    let house = TestHouse::start_with(|settings| {
        settings.tenancy.isolation_by_tier = Tier::ALL.iter().map(|tier| (*tier, Isolation::Schema)).collect();
    })
    .await;
    let organization = house.organization().await;
    let by_tier = create(&house, &organization, "two", None).await;
    assert_eq!(by_tier["isolation"], "schema");
    assert!(by_tier["database"].as_str().unwrap().starts_with("tenant_group_"), "{by_tier}");
    assert_eq!(by_tier["schema"], by_tier["role"]);
    let shared = create(&house, &organization, "three", Some("shared")).await;
    assert_eq!((&shared["isolation"], &shared["schema"]), (&json!("shared"), &json!("public")));
    assert_eq!(shared["database"], shared["role"], "the login is the shared database's");
    let dedicated = create(&house, &organization, "four", Some("dedicated")).await;
    assert_eq!((&dedicated["isolation"], &dedicated["schema"]), (&json!("dedicated"), &json!("public")));
}

#[tokio::test]
async fn what_a_tier_is_not_allowed_is_refused() {
    let house = TestHouse::start_with(|settings| {
        settings.tenancy.isolation_allowed =
            Tier::ALL.iter().map(|tier| (*tier, vec![Isolation::Dedicated, Isolation::Schema])).collect();
    })
    .await;
    let organization = house.organization().await;
    let path = format!("/v1/organizations/{organization}/tenants");
    let refused =
        house.admin.post(&path, &json!({"name": "x", "isolation": "shared"})).await.problem(403, "tier_limit");
    assert!(refused["tier"].is_string(), "{refused}");
    let unknown = house.admin.post(&path, &json!({"name": "x", "isolation": "cellar"})).await;
    let unknown = unknown.problem(422, "invalid_request");
    assert!(unknown.to_string().contains("/isolation"), "{unknown}");
}

#[tokio::test]
async fn a_full_group_is_followed_by_another_also_when_several_come_at_once() {
    let house = TestHouse::start_with(|settings| settings.tenancy.group_size = 2).await;
    let organization = house.organization().await;
    let first = create(&house, &organization, "first", Some("schema")).await;
    // One place is left, and three want it.
    let (house, organization) = (&house, organization.as_str());
    let rest = ["a", "b", "c"].map(|name| create(house, organization, name, Some("schema")));
    let mut databases: Vec<String> = futures::future::join_all(rest)
        .await
        .iter()
        .map(|made| made["database"].as_str().unwrap().to_owned())
        .collect();
    databases.push(first["database"].as_str().unwrap().to_owned());
    databases.sort();
    assert_eq!(databases[0], databases[1]);
    assert_eq!(databases[2], databases[3]);
    assert_ne!(databases[1], databases[2]);
}

#[tokio::test]
async fn the_login_of_a_shared_database_has_no_attribute_and_no_pin() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let made = create(&house, &organization, "one", Some("shared")).await;
    let role = made["role"].as_str().unwrap();
    let admin = TestCluster::get().admin("postgres").await;
    let facts = "select
            (rolsuper or rolinherit is false or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls) as mighty,
            exists (select from pg_db_role_setting where setrole = pg_roles.oid and setconfig::text like '%app.tenant_id%') as pinned,
            (select string_agg(roleid::regrole::text, ',') from pg_auth_members where member = pg_roles.oid) as groups
        from pg_roles where rolname = $1::text::name";
    let rows = admin.query(facts, &[&role]).await.unwrap();
    assert!(!rows[0].try_get::<_, bool>("mighty").unwrap());
    assert!(!rows[0].try_get::<_, bool>("pinned").unwrap());
    assert_eq!(rows[0].try_get::<_, String>("groups").unwrap(), "tenant_app");
}
