//! Two that do the same at the same time, and those that come twice.

use reqwest::Method;
use rowhouse_testkit::{Answer, TestCluster, TestHouse};
use serde_json::json;

use super::{alone, eventually, make, named_after, number_in, wish};

/// Takes every turn to clone for as long as the connection is open: whoever provisions waits at that step.
async fn hold_turns() -> rowhouse_database::AdminConnection {
    let holder = TestCluster::get().admin("postgres").await;
    holder.query("select pg_advisory_lock(1380931400, place) from generate_series(1, 16) as place", &[]).await.unwrap();
    holder
}

/// As where a lease runs out under a replica that is slow but not dead.
#[tokio::test]
async fn two_that_work_on_the_same_operation_make_one_tenant() {
    let _alone = alone().await;
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    make(&house, &organization, "first").await;
    let held = hold_turns().await;
    let operation = wish(&house, &organization, "second").await;
    let id = "(select id from operations order by id desc limit 1)";
    let waits = format!(
        "select count(*) from operation_steps where operation_id = {id} and state = 'running' and name in ('role', 'database')"
    );
    eventually("the first waits for its turn", async || number_in(&house, &waits).await == 1).await;
    house.sql(&format!("update operations set locked_until = now() - interval '1 second' where id = {id}")).await;
    let attempts = format!("select attempts::bigint from operations where id = {id}");
    eventually("the second has begun", async || number_in(&house, &attempts).await == 2).await;
    eventually("and waits, too", async || number_in(&house, &waits).await == 1).await;
    drop(held);
    eventually("it ends", async || house.admin.get(&operation).await.expect(200).json()["state"] == "succeeded").await;
    let done = house.admin.get(&operation).await.expect(200).json();
    assert!(done["steps"].as_array().unwrap().iter().all(|step| step["state"] == "done"), "{done}");
    let tenant = done["tenant_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(named_after(tenant).await, (1, 1));
    // Recorded by one of them only.
    assert_eq!(number_in(&house, "select count(*) from audit_logs where action = 'tenant.activate'").await, 2);
}

#[tokio::test]
async fn of_two_wishes_for_one_name_at_once_one_is_refused() {
    let _alone = alone().await;
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let path = format!("/v1/organizations/{organization}/tenants");
    for round in 0..5 {
        let body = json!({"name": format!("acme {round}")});
        let (one, other) = tokio::join!(house.admin.post(&path, &body), house.admin.post(&path, &body));
        let mut answers = [one.status.as_u16(), other.status.as_u16()];
        answers.sort_unstable();
        assert_eq!(answers, [201, 409]);
        let refused = if one.status == 409 { one } else { other };
        refused.problem(409, "tenant_name_taken");
    }
    assert_eq!(number_in(&house, "select count(*) from tenants").await, 5);
}

#[tokio::test]
async fn a_creation_that_is_repeated_while_it_runs_is_the_same_creation() {
    let _alone = alone().await;
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    make(&house, &organization, "first").await;
    let held = hold_turns().await;
    let path = format!("/v1/organizations/{organization}/tenants");
    let send = |wait: &'static str, name: &'static str| {
        let request = house.admin.request(Method::POST, &path).header("idempotency-key", "once").header("prefer", wait);
        Answer::of(request.json(&json!({"name": name})))
    };
    let first = send("respond-async", "acme").await.expect(202);
    let again = send("wait=0", "acme").await.expect(202);
    assert_eq!(first.header("location"), again.header("location"));
    send("wait=0", "other").await.problem(422, "idempotency_mismatch");
    drop(held);
    let made = send("wait=90", "acme").await.expect(201);
    let operation = house.admin.get(first.header("location")).await.expect(200).json();
    assert_eq!(operation["tenant_id"], made.json()["id"]);
    assert_eq!(operation["state"], "succeeded");
    assert_eq!(send("wait=0", "acme").await.expect(201).text("id"), made.text("id"));
}

#[tokio::test]
async fn an_operation_says_who_asked_for_it() {
    let _alone = alone().await;
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let operation = wish(&house, &organization, "acme").await;
    let shown = house.admin.get(&operation).await.expect(200).json();
    assert_eq!(shown["requested_by_kind"], "platform_key", "{shown}");
    assert!(shown["requested_by"].is_string() && shown["request_id"].is_string(), "{shown}");
}

/// They share a row of the catalog for each thing that all of them may use.
#[tokio::test]
async fn neighbours_are_let_in_and_out_at_once_at_the_first_attempt() {
    let _alone = alone().await;
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let room = json!({"max_tenants": 24});
    let _ = house.admin.patch(&format!("/v1/organizations/{organization}"), &room).await.expect(200);
    let path = format!("/v1/organizations/{organization}/tenants");
    let made = (0..24).map(|number| {
        let body = json!({"name": format!("neighbour {number}"), "isolation": "schema"});
        let (house, path) = (&house, &path);
        async move { house.admin.post(path, &body).await.expect(201).json()["id"].as_str().unwrap().to_owned() }
    });
    let tenants = futures::future::join_all(made).await;
    let purged = tenants.iter().enumerate().map(|(number, id)| {
        let house = &house;
        async move {
            let _ = house.admin.delete(&format!("/v1/tenants/{id}")).await.expect(204);
            let body = json!({"name": format!("neighbour {number}"), "force": true});
            house.admin.post(&format!("/v1/tenants/{id}/purge"), &body).await
        }
    });
    futures::future::join_all(purged).await;
    let again = "select count(*) from operations where attempts > 1 and kind in ('tenant_provision', 'tenant_purge')";
    eventually("all are gone", async || {
        number_in(&house, "select count(*) from tenants where status = 'purged'").await == 24
    })
    .await;
    assert_eq!(number_in(&house, again).await, 0);
}
