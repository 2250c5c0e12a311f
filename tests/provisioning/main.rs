//! What provisioning shares with others on a cluster: templates, stock, turns to clone. A process of its own, and so a
//! cluster of its own, where these tests take turns: each may take away what every tenant is made from.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod races;
mod stock;
mod templates;

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_domain::TenantId;
use rowhouse_testkit::{Answer, TestCluster, TestHouse};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

/// The right to be the only one on the cluster.
async fn alone() -> MutexGuard<'static, ()> {
    static CLUSTER: Mutex<()> = Mutex::const_new(());
    CLUSTER.lock().await
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(90), "not yet: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// A number that a query of the whole cluster gives.
async fn number(sql: &str) -> i64 {
    let rows = TestCluster::get().admin("postgres").await.query(sql, &[]).await.unwrap();
    rows[0].try_get(0).unwrap()
}

/// The same in a house's own database.
async fn number_in(house: &TestHouse, sql: &str) -> i64 {
    house.rows(sql).await[0].try_get(0).unwrap()
}

async fn superuser(sql: &str) {
    let admin = TestCluster::get().admin("postgres").await;
    admin.run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// Wishes for a tenant and waits for nothing; the operation's path.
async fn wish(house: &TestHouse, organization: &str, name: &str) -> String {
    let path = format!("/v1/organizations/{organization}/tenants");
    let request = house.admin.request(Method::POST, &path).header("prefer", "wait=0").json(&json!({"name": name}));
    Answer::of(request).await.expect(202).header("location").to_owned()
}

/// Wishes for a tenant and waits for it; its id.
async fn make(house: &TestHouse, organization: &str, name: &str) -> TenantId {
    let path = format!("/v1/organizations/{organization}/tenants");
    let request = house.admin.request(Method::POST, &path).header("prefer", "wait=90").json(&json!({"name": name}));
    let made = Answer::of(request).await.expect(201);
    assert_eq!(made.json()["status"], "active");
    made.text("id").parse().unwrap()
}

/// Databases and logins that carry a tenant's id in their names.
async fn named_after(tenant: TenantId) -> (i64, i64) {
    let id = tenant.as_uuid().simple().to_string();
    (
        number(&format!("select count(*) from pg_database where datname like '%{id}'")).await,
        number(&format!("select count(*) from pg_roles where rolname like '%{id}'")).await,
    )
}
