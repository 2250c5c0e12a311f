//! From the wish to a database that serves.

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_testkit::{Answer, TestHouse};
use serde_json::{Value, json};

#[tokio::test]
async fn a_new_tenant_has_a_database_of_its_own() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let path = format!("/v1/organizations/{organization}/tenants");
    let made = house.admin.post(&path, &json!({"name": "Acme Prod.", "external_id": "42"})).await.expect(201);
    let id = made.text("id");
    assert_eq!(made.json()["status"], "active");
    assert_eq!(made.header("location"), format!("/v1/tenants/{id}"));
    let database = house.admin.get(&format!("/v1/tenants/{id}/database")).await.expect(200).json();
    let name = database.to_string();
    assert!(name.contains("tenant_acme_prod_"), "{database}");
    // The login is the tenant's own, nothing is open to the public, and the pin is set.
    let facts = "select
            (select count(*) from pg_database, aclexplode(datacl) where datname = database_name and grantee = 0)
          + (select count(*) from pg_database where datname = database_name and datacl is null) as open_to_all,
            (select count(*) from pg_db_role_setting join pg_roles on pg_roles.oid = setrole
             where rolname = role_name and setconfig::text like '%app.tenant_id=%') as pins
        from tenants";
    let rows = house.rows(facts).await;
    assert_eq!((rows[0].try_get::<_, i64>("open_to_all").unwrap(), rows[0].try_get::<_, i64>("pins").unwrap()), (0, 1));
}

#[tokio::test]
async fn a_tenant_has_the_newest_schema() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let latest = rowhouse_migrations::Set::Tenant.latest();
    let tenant = house.admin.get(&format!("/v1/tenants/{}", given.tenant)).await.expect(200).json();
    assert_eq!(tenant["schema_version"], latest);
    given.upload("a.txt", "words").await;
}

#[tokio::test]
async fn the_steps_of_an_operation_are_recorded() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let request = house
        .admin
        .request(Method::POST, &format!("/v1/organizations/{organization}/tenants"))
        .header("prefer", "respond-async")
        .json(&json!({"name": "later"}));
    let accepted = Answer::of(request).await.expect(202);
    let operation = accepted.header("location").to_owned();
    let begun = Instant::now();
    let done = loop {
        let now = house.admin.get(&operation).await.expect(200).json();
        if now["state"] == "succeeded" {
            break now;
        }
        assert!(now["state"] != "failed" && begun.elapsed() < Duration::from_secs(60), "{now}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let steps: Vec<&str> =
        done["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(steps, ["reserve", "role", "database", "pin", "migrate", "verify", "activate"]);
    assert!(done["steps"].as_array().unwrap().iter().all(|step| step["state"] == "done"), "{done}");
}

#[tokio::test]
async fn names_and_external_ids_are_unique_in_an_organization() {
    let house = TestHouse::start().await;
    let (one, other) = (house.organization().await, house.organization().await);
    let path = |organization: &str| format!("/v1/organizations/{organization}/tenants");
    let _ = house.admin.post(&path(&one), &json!({"name": "acme", "external_id": "1"})).await.expect(201);
    house.admin.post(&path(&one), &json!({"name": "acme"})).await.problem(409, "tenant_name_taken");
    house
        .admin
        .post(&path(&one), &json!({"name": "acme 2", "external_id": "1"}))
        .await
        .problem(409, "external_id_taken");
    let _ = house.admin.post(&path(&other), &json!({"name": "acme", "external_id": "1"})).await.expect(201);
}

#[tokio::test]
async fn a_retried_creation_makes_one_tenant() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let path = format!("/v1/organizations/{organization}/tenants");
    let send = || {
        let request = house.admin.request(Method::POST, &path).header("idempotency-key", "create-acme");
        Answer::of(request.json(&json!({"name": "acme"})))
    };
    let answers = futures::future::join_all((0..8).map(|_| send())).await;
    let ids: Vec<Value> = answers
        .iter()
        .map(|answer| {
            assert!([201, 202].contains(&answer.status.as_u16()), "{}", String::from_utf8_lossy(&answer.bytes));
            let body = answer.json();
            if answer.status == 201 { body["id"].clone() } else { body["tenant_id"].clone() }
        })
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let listed = house.admin.get(&path).await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let other = house.admin.request(Method::POST, &path).header("idempotency-key", "create-acme");
    Answer::of(other.json(&json!({"name": "other"}))).await.problem(422, "idempotency_mismatch");
}

#[tokio::test]
async fn tenants_made_at_once_all_arrive() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let _ =
        house.admin.patch(&format!("/v1/organizations/{organization}"), &json!({"max_tenants": 20})).await.expect(200);
    let path = format!("/v1/organizations/{organization}/tenants");
    let work = (0..8).map(|number| {
        let (admin, path) = (house.admin.clone(), path.clone());
        async move {
            let request = admin.request(Method::POST, &path).header("prefer", "wait=60");
            Answer::of(request.json(&json!({"name": format!("tenant {number}")}))).await
        }
    });
    for answer in futures::future::join_all(work).await {
        assert_eq!(answer.expect(201).json()["status"], "active");
    }
}

/// Every step may run twice: a finished operation is put back to its beginning, as after a crash before its record.
#[tokio::test]
async fn every_step_can_be_repeated() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    house
        .sql(
            "update tenants set status = 'provisioning';
             update operation_steps set state = 'pending', started_at = null, finished_at = null;
             update operations set state = 'queued', attempts = 0, run_at = now(), finished_at = null, result = '{}',
                 locked_by = null, locked_until = null",
        )
        .await;
    let begun = Instant::now();
    loop {
        let tenant = house.admin.get(&format!("/v1/tenants/{}", given.tenant)).await.expect(200).json();
        if tenant["status"] == "active" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{tenant}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let _ = given.data.get("/v1/workspaces").await.expect(200);
}

#[tokio::test]
async fn provisioning_that_can_not_succeed_ends_as_failed() {
    let house = TestHouse::start_with(|settings| {
        // PostgreSQL refuses it at the first step.
        settings.provisioning.connection_limit = -5;
        settings.provisioning.max_attempts = 1;
    })
    .await;
    let organization = house.organization().await;
    let path = format!("/v1/organizations/{organization}/tenants");
    house.admin.post(&path, &json!({"name": "doomed"})).await.problem(503, "provisioning_failed");
    let listed = house.admin.get(&path).await.expect(200).json();
    assert_eq!(listed["items"][0]["status"], "failed", "{listed}");
}
