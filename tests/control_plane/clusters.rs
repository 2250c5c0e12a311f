//! Many PostgreSQL clusters: registering them, placing tenants on them, taking them out of use, losing one.

use std::time::Duration;

use rowhouse_database::quote_literal;
use rowhouse_testkit::{Client, FURTHER_CONTROL_PASSWORD, TestCluster, TestHouse};
use serde_json::{Value, json};

use crate::operational::eventually;

const SCOPES: [&str; 4] = ["read_files", "write_files", "manage_workspaces", "read_usage"];

/// A house that looks after its clusters more often than one in production.
async fn house() -> TestHouse {
    TestHouse::start_with(|settings| settings.provisioning.cluster_check = Duration::from_millis(500)).await
}

pub(crate) async fn place(house: &TestHouse, organization: &str, mut body: Value) -> Value {
    body["name"] = json!(format!("tenant {}", uuid::Uuid::now_v7().simple()));
    let path = format!("/v1/organizations/{organization}/tenants");
    house.admin.post(&path, &body).await.expect(201).json()
}

async fn roomy_organization(house: &TestHouse) -> String {
    let organization = house.organization().await;
    let path = format!("/v1/organizations/{organization}");
    let _ = house.admin.patch(&path, &json!({"max_tenants": 50})).await.expect(200);
    organization
}

/// Works as the tenant's application: writes, and reads it back.
pub(crate) async fn use_tenant(house: &TestHouse, tenant: &Value) -> Client {
    let data = house.tenant_key(tenant["id"].as_str().unwrap(), &SCOPES).await;
    let workspace = data.post("/v1/workspaces", &json!({"name": "Documents"})).await.expect(201).text("id");
    let file = data.upload(&format!("/v1/files?workspace_id={workspace}&name=a.txt"), "words").await.expect(201);
    let content = data.get(&format!("/v1/files/{}/content", file.text("id"))).await.expect(200);
    assert_eq!(content.bytes, b"words");
    data
}

async fn cluster(house: &TestHouse, id: &str) -> Value {
    house.admin.get(&format!("/v1/clusters/{id}")).await.expect(200).json()
}

async fn default_cluster(house: &TestHouse) -> String {
    let listed = house.admin.get("/v1/clusters").await.expect(200).json();
    let found = listed["items"].as_array().unwrap().iter().find(|cluster| cluster["name"] == "default").cloned();
    found.unwrap()["id"].as_str().unwrap().to_owned()
}

/// The one field that a request was refused for.
pub(crate) fn field(problem: &Value) -> &str {
    problem["errors"][0]["pointer"].as_str().unwrap_or_else(|| panic!("no field in {problem}"))
}

fn databases_of(tenants: &[&str]) -> String {
    tenants.iter().map(|tenant| quote_literal(tenant)).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn tenants_are_placed_by_name_by_labels_and_by_weight() {
    let house = TestHouse::start().await;
    let organization = roomy_organization(&house).await;
    let second = house.register("second", TestCluster::second()).await;
    let default = default_cluster(&house).await;
    let path = format!("/v1/clusters/{second}");
    let _ = house.admin.patch(&path, &json!({"labels": {"region": "eu", "disk": "fast"}})).await.expect(200);

    let named = place(&house, &organization, json!({"cluster": "second"})).await;
    let labelled = place(&house, &organization, json!({"cluster_labels": {"region": "eu"}})).await;
    let at_home = place(&house, &organization, json!({"cluster": "default"})).await;
    assert_eq!((&named["cluster_id"], &labelled["cluster_id"]), (&json!(second), &json!(second)));
    assert_eq!(at_home["cluster_id"], default);
    for tenant in [&named, &labelled, &at_home] {
        let _ = use_tenant(&house, tenant).await;
    }
    // Where the row says, and nowhere else.
    let rows = house.rows("select database_name from tenants").await;
    let names: Vec<String> = rows.iter().map(|row| row.try_get(0).unwrap()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sql = format!("select datname from pg_database where datname in ({})", databases_of(&names));
    let here = TestCluster::get().admin("postgres").await.query(&sql, &[]).await.unwrap().len();
    let there = TestCluster::second().admin("postgres").await.query(&sql, &[]).await.unwrap().len();
    assert_eq!((here, there), (1, 2));

    let tenants = format!("/v1/organizations/{organization}/tenants");
    for (body, pointer) in [
        (json!({"name": "x", "cluster": "third"}), "/cluster"),
        (json!({"name": "x", "cluster_labels": {"region": "us"}}), "/cluster_labels"),
        (json!({"name": "x", "cluster_labels": {"region": "eu", "disk": "slow"}}), "/cluster_labels"),
        (json!({"name": "x", "cluster": "default", "cluster_labels": {"region": "eu"}}), "/cluster"),
    ] {
        let problem = house.admin.post(&tenants, &body).await.problem(422, "invalid_request");
        assert_eq!(field(&problem), pointer, "{body}");
    }

    // Three times the weight: three times the tenants, give or take the one that a tie decides.
    let _ = house.admin.patch(&path, &json!({"weight": 300})).await.expect(200);
    for _ in 0..5 {
        let _ = place(&house, &organization, json!({})).await;
    }
    let (here, there) = (cluster(&house, &default).await["tenants"].clone(), cluster(&house, &second).await);
    assert_eq!(here.as_i64().unwrap() + there["tenants"].as_i64().unwrap(), 8);
    assert!([2, 3].contains(&here.as_i64().unwrap()), "{here} of 8 are on the lighter cluster");
    // No weight at all: only whoever names it gets there.
    let _ = house.admin.patch(&path, &json!({"weight": 0})).await.expect(200);
    assert_eq!(place(&house, &organization, json!({})).await["cluster_id"], default);
    assert_eq!(place(&house, &organization, json!({"cluster": "second"})).await["cluster_id"], second);
}

#[tokio::test]
async fn every_placement_works_on_a_further_cluster() {
    let house = TestHouse::start().await;
    let organization = roomy_organization(&house).await;
    let second = house.register("second", TestCluster::second()).await;
    for isolation in ["dedicated", "schema", "shared"] {
        for _ in 0..2 {
            let tenant = place(&house, &organization, json!({"cluster": "second", "isolation": isolation})).await;
            assert_eq!(tenant["cluster_id"], second);
            let _ = use_tenant(&house, &tenant).await;
        }
    }
}

#[tokio::test]
async fn a_drained_cluster_gets_no_tenants_and_an_empty_one_can_be_removed() {
    let house = TestHouse::start_with(|settings| settings.provisioning.stock = 1).await;
    let organization = roomy_organization(&house).await;
    let further = TestCluster::private().await;
    let second = house.register("second", &further).await;
    let path = format!("/v1/clusters/{second}");
    let tenant = place(&house, &organization, json!({"cluster": "second"})).await;
    let in_group = place(&house, &organization, json!({"cluster": "second", "isolation": "shared"})).await;
    let data = use_tenant(&house, &tenant).await;
    let _ = use_tenant(&house, &in_group).await;

    let drained = house.admin.patch(&path, &json!({"accepting": false, "status": "draining"})).await.expect(200).json();
    assert_eq!((&drained["accepting"], &drained["status"]), (&json!(false), &json!("draining")));
    for _ in 0..3 {
        assert_ne!(place(&house, &organization, json!({})).await["cluster_id"], second);
    }
    let tenants = format!("/v1/organizations/{organization}/tenants");
    let body = json!({"name": "late", "cluster": "second"});
    let problem = house.admin.post(&tenants, &body).await.problem(422, "invalid_request");
    assert_eq!(field(&problem), "/cluster");
    let _ = data.get("/v1/workspaces").await.expect(200);

    let problem = house.admin.delete(&path).await.problem(409, "cluster_in_use");
    assert_eq!(problem["tenants"], 2, "{problem}");
    for tenant in [&tenant, &in_group] {
        let path = format!("/v1/tenants/{}", tenant["id"].as_str().unwrap());
        assert!(house.admin.delete(&path).await.status.is_success());
        // One that was only deleted can be restored, so it still counts.
        house.admin.delete(&format!("/v1/clusters/{second}")).await.problem(409, "cluster_in_use");
        let purged = house.admin.post(&format!("{path}/purge"), &json!({"name": tenant["name"]})).await;
        assert!(purged.status.is_success(), "{}", String::from_utf8_lossy(&purged.bytes));
        eventually("the tenant is purged", async || {
            house.admin.get(&path).await.status != 200 || house.admin.get(&path).await.json()["status"] == "purged"
        })
        .await;
    }
    assert_eq!(house.admin.delete(&path).await.status, 204);
    house.admin.get(&path).await.problem(404, "not_found");
    let left = further
        .admin("postgres")
        .await
        .query("select datname from pg_database where datname like 'tenant%' or datname like 'rowhouse_stock%'", &[])
        .await
        .unwrap();
    assert!(left.is_empty(), "{left:?}");
    let last = format!("/v1/clusters/{}", default_cluster(&house).await);
    house.admin.delete(&last).await.problem(409, "cluster_in_use");
}

#[tokio::test]
async fn what_can_not_hold_tenants_is_not_registered() {
    let house = TestHouse::start_with(|settings| {
        let credentials = json!({"password": FURTHER_CONTROL_PASSWORD});
        settings.cluster_credentials.insert("eu".to_owned(), serde_json::from_value(credentials).unwrap());
    })
    .await;
    let (further, bare) = (TestCluster::second(), TestCluster::unprepared().await);
    let good = json!({"name": "second", "host": "127.0.0.1", "port": further.port(), "tls": "disable",
        "password": FURTHER_CONTROL_PASSWORD});
    let refused = async |changes: Value, pointer: &str, says: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let problem = house.admin.post("/v1/clusters", &body).await.problem(422, "invalid_request");
        let text = problem.to_string();
        assert!(field(&problem) == pointer && text.contains(says), "{changes}: {problem}");
        assert!(!text.contains(FURTHER_CONTROL_PASSWORD) && !text.contains("not-the-password"), "{problem}");
    };
    refused(json!({"port": bare.port()}), "/password", "rowhouse cluster bootstrap").await;
    refused(json!({"port": 1}), "/host", "no PostgreSQL server answers").await;
    refused(json!({"password": "not-the-password"}), "/password", "refuses the login").await;
    refused(json!({"login": "rowhouse_data", "password": "data-for-tests"}), "/login", "rowhouse_data").await;
    refused(json!({"name": "Not A Name"}), "/name", "").await;
    refused(json!({"weight": -1}), "/weight", "").await;
    refused(json!({"budget": 0}), "/budget", "").await;
    refused(json!({"tls": "verify_full", "tls_ca": "no PEM"}), "/tls_ca", "PEM").await;
    refused(json!({"tls": "verify_full"}), "/tls_ca", "").await;
    refused(json!({"credential_ref": "eu"}), "/credential_ref", "together with a password").await;
    refused(json!({"password": null, "credential_ref": "us"}), "/credential_ref", "cluster_credentials").await;
    // A login that may not make roles, on a server that was prepared otherwise.
    let admin = further.admin("postgres").await;
    let _ = admin.run("create role rowhouse_feeble login password 'feeble'").await;
    let _ = admin.run("grant connect on database postgres to rowhouse_feeble").await;
    refused(json!({"login": "rowhouse_feeble", "password": "feeble"}), "/host", "lacks Rowhouse's roles").await;

    let mut by_reference = good.clone();
    by_reference["password"] = Value::Null;
    by_reference["credential_ref"] = json!("eu");
    let made = house.admin.post("/v1/clusters", &by_reference).await.expect(201).json();
    assert_eq!(made["credential"], "settings:eu");
    house.admin.post("/v1/clusters", &good).await.problem(409, "name_taken");
    let mut again = good.clone();
    again["name"] = json!("third");
    house.admin.post("/v1/clusters", &again).await.problem(409, "cluster_registered");
    again["host"] = json!("localhost");
    house.admin.post("/v1/clusters", &again).await.problem(409, "cluster_registered");
}

#[tokio::test]
async fn a_lost_cluster_takes_only_its_own_tenants_along() {
    let house = house().await;
    let organization = roomy_organization(&house).await;
    let further = TestCluster::private().await;
    let second = house.register("second", &further).await;
    let (there, here) = (
        place(&house, &organization, json!({"cluster": "second"})).await,
        place(&house, &organization, json!({"cluster": "default"})).await,
    );
    let (lost, kept) = (use_tenant(&house, &there).await, use_tenant(&house, &here).await);
    eventually("the cluster was looked at", async || cluster(&house, &second).await["health"].is_object()).await;
    let health = cluster(&house, &second).await["health"].clone();
    assert_eq!((&health["is_reachable"], &health["max_connections"]), (&json!(true), &json!(100)), "{health}");
    assert_eq!(health["used_connections"].as_i64().unwrap() + health["free_connections"].as_i64().unwrap(), 100);

    let stopped = further.stop().await;
    eventually("its tenants are refused", async || lost.get("/v1/workspaces").await.status == 503).await;
    let answer = lost.get("/v1/workspaces").await.expect(503);
    assert!(answer.headers.contains_key("retry-after"));
    for _ in 0..5 {
        let _ = kept.get("/v1/workspaces").await.expect(200);
    }
    eventually("it counts as unreachable", async || cluster(&house, &second).await["status"] == "unreachable").await;
    let seen = cluster(&house, &second).await;
    assert_eq!(seen["health"]["is_reachable"], false);
    assert!(seen["health"]["error"].is_string() && seen["health"]["seen_at"].is_string(), "{seen}");
    // Placed elsewhere, however light the lost one is.
    for _ in 0..3 {
        assert_ne!(place(&house, &organization, json!({})).await["cluster_id"], second);
    }
    let path = format!("/v1/organizations/{organization}/tenants");
    house.admin.post(&path, &json!({"name": "x", "cluster": "second"})).await.problem(422, "invalid_request");
    house.admin.delete(&format!("/v1/clusters/{second}?force=true")).await.problem(409, "cluster_in_use");

    let _back = stopped.start().await;
    eventually("it is in use again", async || cluster(&house, &second).await["status"] == "active").await;
    eventually("its tenants are served", async || lost.get("/v1/workspaces").await.status == 200).await;
    assert_eq!(place(&house, &organization, json!({"cluster": "second"})).await["cluster_id"], second);
}

#[tokio::test]
async fn a_cluster_that_is_gone_for_good_can_be_forgotten() {
    let house = TestHouse::start().await;
    let further = TestCluster::private().await;
    let second = house.register("second", &further).await;
    // Something is kept there that can't be dropped any more.
    let organization = house.organization().await;
    let tenant = place(&house, &organization, json!({"cluster": "second", "isolation": "schema"})).await;
    let tenant = format!("/v1/tenants/{}", tenant["id"].as_str().unwrap());
    let name = house.admin.get(&tenant).await.expect(200).text("name");
    assert!(house.admin.delete(&tenant).await.status.is_success());
    let purged = house.admin.post(&format!("{tenant}/purge"), &json!({"name": name})).await;
    assert!(purged.status.is_success(), "{}", String::from_utf8_lossy(&purged.bytes));
    eventually("the tenant is purged", async || {
        let rows = house.rows("select count(*) from tenants where status <> 'purged'").await;
        rows[0].try_get::<_, i64>(0).unwrap() == 0
    })
    .await;
    let _gone = further.stop().await;
    let path = format!("/v1/clusters/{second}");
    let refused = house.admin.delete(&path).await;
    assert_eq!(refused.status, 503, "{}", String::from_utf8_lossy(&refused.bytes));
    let _ = house.admin.get(&path).await.expect(200);
    assert_eq!(house.admin.delete(&format!("{path}?force=true")).await.status, 204);
    house.admin.get(&path).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_password_is_changed_in_place_and_shown_to_nobody() {
    const NEXT: &str = "the-next-password-of-control";
    let house = house().await;
    let organization = roomy_organization(&house).await;
    let further = TestCluster::private().await;
    let second = house.register("second", &further).await;
    let path = format!("/v1/clusters/{second}");
    let _ = place(&house, &organization, json!({"cluster": "second"})).await;

    let set = format!("alter role rowhouse_control password {}", quote_literal(NEXT));
    further.admin("postgres").await.run(&set).await.unwrap();
    let wrong = house.admin.patch(&path, &json!({"password": "a-wrong-guess"})).await.problem(422, "invalid_request");
    assert_eq!(field(&wrong), "/password");
    let changed = house.admin.patch(&path, &json!({"password": NEXT})).await.expect(200);
    assert_eq!(changed.json()["credential"], "sealed");
    let _ = place(&house, &organization, json!({"cluster": "second"})).await;
    eventually("it is well", async || cluster(&house, &second).await["health"]["is_reachable"] == true).await;

    let mut told = String::from_utf8(changed.bytes).unwrap();
    for path in [path.as_str(), "/v1/clusters", "/v1/audit-logs?limit=200"] {
        told.push_str(&String::from_utf8(house.admin.get(path).await.expect(200).bytes).unwrap());
    }
    for table in ["clusters", "cluster_health", "audit_logs", "idempotency_keys", "operations"] {
        for row in house.rows(&format!("select row_to_json(t)::text from {table} t")).await {
            told.push_str(&row.try_get::<_, String>(0).unwrap());
        }
    }
    assert!(told.contains("cluster.update") && told.contains("cluster.create"));
    let sealed = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for secret in [FURTHER_CONTROL_PASSWORD, NEXT, "a-wrong-guess"] {
        assert!(!told.contains(secret), "{secret} is told");
        assert!(!told.contains(&sealed(secret.as_bytes())), "{secret} is kept in the clear");
    }
}

#[tokio::test]
async fn a_cluster_is_changed_by_those_who_saw_it_last() {
    let house = TestHouse::start().await;
    let second = house.register("second", TestCluster::second()).await;
    let path = format!("/v1/clusters/{second}");
    let seen = house.admin.get(&path).await.expect(200).header("etag").to_owned();
    let _ = house.admin.patch(&path, &json!({"weight": 5})).await.expect(200);
    let late = house.admin.request(reqwest::Method::PATCH, &path).header("if-match", &seen);
    rowhouse_testkit::Answer::of(late.json(&json!({"weight": 6}))).await.problem(412, "precondition_failed");
    assert_eq!(cluster(&house, &second).await["weight"], 5);

    let body = json!({"name": "default", "host": "127.0.0.1", "port": 1});
    house.admin.patch(&path, &body).await.problem(422, "invalid_request");
    // Another server under the name of one that has tenants would lose them.
    let organization = house.organization().await;
    let _ = place(&house, &organization, json!({"cluster": "second"})).await;
    let other = TestCluster::private().await;
    let problem = house.admin.patch(&path, &json!({"port": other.port()})).await.problem(422, "invalid_request");
    assert_eq!(field(&problem), "/host");
}

#[tokio::test]
async fn a_repeated_registration_is_one() {
    let house = TestHouse::start().await;
    let body = json!({"name": "second", "host": "127.0.0.1", "port": TestCluster::second().port(), "tls": "disable",
        "password": FURTHER_CONTROL_PASSWORD});
    let send = || {
        let request = house.admin.request(reqwest::Method::POST, "/v1/clusters").header("idempotency-key", "once");
        rowhouse_testkit::Answer::of(request.json(&body))
    };
    let first = send().await.expect(201).text("id");
    assert_eq!(send().await.expect(201).text("id"), first);
}
