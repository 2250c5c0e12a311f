//! Long work while others want the same thing: slow clusters, changed minds, lost leases.

use std::time::Duration;

use reqwest::Method;
use rowhouse_database::AdminConnection;
use rowhouse_testkit::{Answer, Given, TestCluster, TestHouse};
use serde_json::json;

use crate::operational::eventually;

/// Keeps a tenant's login from being changed for as long as the connection is open, as a slow cluster would.
async fn hold_login(house: &TestHouse) -> (String, AdminConnection) {
    let role: String = house.rows("select role_name from tenants").await[0].try_get(0).unwrap();
    let holder = TestCluster::get().admin("postgres").await;
    holder
        .query("select pg_advisory_lock(hashtextextended($1, 0))", &[&format!("rowhouse.login {role}")])
        .await
        .unwrap();
    (role, holder)
}

async fn may_log_in(house: &TestHouse, role: &str) -> bool {
    house.rows(&format!("select rolcanlogin from pg_roles where rolname = '{role}'")).await[0].try_get(0).unwrap()
}

/// Asks for a change of state without waiting for what follows from it.
async fn ask(house: &TestHouse, given: &Given, verb: &str) {
    let path = format!("/v1/tenants/{}/{verb}", given.tenant);
    let request = house.admin.request(Method::POST, &path).header("prefer", "wait=0").json(&json!({}));
    let answer = Answer::of(request.timeout(Duration::from_secs(8))).await;
    assert!(answer.status.is_success(), "{}", String::from_utf8_lossy(&answer.bytes));
}

async fn login_operations(house: &TestHouse, condition: &str) -> i64 {
    let sql = format!(
        "select count(*) from operations join operation_steps on operation_id = operations.id
         where kind = 'tenant_login' and {condition}"
    );
    house.rows(&sql).await[0].try_get(0).unwrap()
}

#[tokio::test]
async fn a_slow_cluster_holds_up_no_request_and_the_last_word_counts() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let (role, held) = hold_login(&house).await;
    ask(&house, &given, "suspend").await;
    eventually("the step is at the cluster", async || {
        login_operations(&house, "operation_steps.state = 'running'").await == 1
    })
    .await;
    ask(&house, &given, "resume").await;
    assert!(may_log_in(&house, &role).await);
    drop(held);
    eventually("the operation has followed", async || {
        login_operations(&house, "operations.state <> 'succeeded'").await == 0
    })
    .await;
    assert!(may_log_in(&house, &role).await);
    eventually("the tenant serves again", async || given.data.get("/v1/workspaces").await.status == 200).await;
}

#[tokio::test]
async fn who_lost_the_lease_records_nothing_more() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let (role, held) = hold_login(&house).await;
    ask(&house, &given, "suspend").await;
    eventually("the step is at the cluster", async || {
        login_operations(&house, "operation_steps.state = 'running'").await == 1
    })
    .await;
    house
        .sql("update operations set locked_by = 'another', locked_until = now() + interval '1 hour' where kind = 'tenant_login'")
        .await;
    drop(held);
    eventually("the step is done", async || !may_log_in(&house, &role).await).await;
    // As long as a record would take, had it been made.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        login_operations(&house, "locked_by = 'another' and operation_steps.state in ('running', 'pending')").await,
        2
    );
    house.sql("update operations set locked_until = now() where kind = 'tenant_login'").await;
    eventually("another has gone on", async || login_operations(&house, "operations.state <> 'succeeded'").await == 0)
        .await;
}
