//! A house whose own control plane takes requests and does none of the work: that is left to processes that may die.

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_testkit::{Answer, TestHouse};
use serde_json::{Value, json};

/// How long work may take that nobody keeps from being done.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) async fn idle_house() -> TestHouse {
    TestHouse::start_with(|settings| {
        settings.provisioning.parallel = 0;
        settings.provisioning.lease = Duration::from_secs(2);
        settings.purge.max_per_hour = 1000;
    })
    .await
}

/// An organization with room for many tenants.
pub(crate) async fn organization(house: &TestHouse) -> String {
    let id = house.organization().await;
    let _ = house
        .admin
        .patch(&format!("/v1/organizations/{id}"), &json!({"max_tenants": 200, "max_workspaces": 200}))
        .await
        .expect(200);
    id
}

/// Wishes for a tenant and does not wait for it; gives its id.
pub(crate) async fn wish(house: &TestHouse, organization: &str, name: &str, isolation: &str) -> String {
    let path = format!("/v1/organizations/{organization}/tenants");
    let body = json!({"name": name, "isolation": isolation});
    let request = house.admin.request(Method::POST, &path).header("prefer", "respond-async").json(&body);
    let answer = Answer::of(request).await;
    // Somebody may be quick enough to have it done.
    if answer.status == 201 { answer.text("id") } else { answer.expect(202).text("tenant_id") }
}

/// Posts and does not wait for what follows; gives the operation.
pub(crate) async fn ask(house: &TestHouse, path: &str, body: &Value) -> Value {
    let request = house.admin.request(Method::POST, path).header("prefer", "respond-async").json(body);
    Answer::of(request).await.expect(202).json()
}

/// Waits until so many tenants of the house have a status.
pub(crate) async fn reached(house: &TestHouse, status: &str, wanted: usize) {
    let begun = Instant::now();
    loop {
        let rows = house.rows(&format!("select count(*) from tenants where status = '{status}'")).await;
        let found = usize::try_from(rows[0].try_get::<_, i64>(0).unwrap()).unwrap();
        if found == wanted {
            break;
        }
        if begun.elapsed() > PATIENCE {
            let rows = house
                .rows(
                    "select kind || ' ' || operations.state || ' ' || coalesce(operations.error, '') || ' ' || name || ' '
                         || operation_steps.state || ' ' || coalesce(operation_steps.error, '')
                     from operations join operation_steps on operation_id = operations.id
                     where operations.state <> 'succeeded' and operation_steps.state <> 'done'",
                )
                .await;
            let left: Vec<String> = rows.iter().map(|row| row.try_get(0).unwrap()).collect();
            panic!("{found} instead of {wanted} tenants are {status}: {left:#?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The last record of an operation comes with its tenant's status, others may still be about.
    let begun = Instant::now();
    loop {
        let rows = house.rows("select count(*) from operations where state in ('queued', 'running')").await;
        if rows[0].try_get::<_, i64>(0).unwrap() == 0 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "operations do not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Each tenant serves.
pub(crate) async fn all_serve(house: &TestHouse, tenants: &[String]) {
    for tenant in tenants {
        let data = house.tenant_key(tenant, &["manage_workspaces", "read_files", "write_files"]).await;
        let workspace = data.post("/v1/workspaces", &json!({"name": "w"})).await.expect(201).text("id");
        let path = format!("/v1/files?workspace_id={workspace}&name=a.txt");
        let _ = data.upload(&path, "words").await.expect(201);
    }
}

/// The moments of an operation's steps at which its worker may die.
pub(crate) fn moments(kind: &str, steps: &[&str]) -> Vec<String> {
    let last = steps.len() - 1;
    let mut moments = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        moments.push(format!("{kind}.{step}.ran"));
        if index < last {
            moments.push(format!("{kind}.{step}.recorded"));
        }
    }
    moments.push(format!("{kind}.end.recorded"));
    moments
}

pub(crate) const PROVISION: [&str; 7] = ["reserve", "role", "database", "pin", "migrate", "verify", "activate"];
pub(crate) const LOGIN: [&str; 2] = ["login", "sessions"];
pub(crate) const PURGE: [&str; 6] = ["close", "rights", "data", "role", "objects", "tombstone"];
