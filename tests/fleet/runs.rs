//! Runs that go well.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::{NEW, OLD, eventually, go, house, inside, look, make, number_in, start, until};

#[tokio::test]
async fn every_schema_goes_back_and_forward_in_all_placements() {
    let house = house().await;
    let organization = house.organization().await;
    let mut tenants = Vec::new();
    for isolation in ["dedicated", "schema", "shared"] {
        tenants.extend(make(&house, &organization, isolation, 3).await);
    }
    let status = house.admin.get("/v1/migrations").await.expect(200).json();
    // The three that share are one schema.
    assert_eq!((&status["schemas"], &status["behind"]), (&json!(7), &json!(0)), "{status}");
    for (direction, version, has_column) in [("down", OLD, false), ("up", NEW, true)] {
        let run = go(&house, direction, version).await;
        assert_eq!(
            run["counts"],
            json!({"running": 0, "done": 7, "failed": 0, "skipped": 0, "left": 0, "held": 0, "blocked": 0})
        );
        for tenant in &tenants {
            assert_eq!(look(&house, tenant).await, (has_column, version), "{direction} {tenant}");
        }
        let recorded = format!("select count(*) from tenants where schema_version = {version}");
        assert_eq!(number_in(&house, &recorded).await, 9);
        let shared =
            format!("select count(*) from group_databases where isolation = 'shared' and schema_version = {version}");
        assert_eq!(number_in(&house, &shared).await, 1);
    }
    house.expect_no_differences().await;
}

#[tokio::test]
async fn a_tenant_that_is_made_during_a_run_is_not_missed() {
    let house = house().await;
    let organization = house.organization().await;
    make(&house, &organization, "dedicated", 2).await;
    go(&house, "down", OLD).await;
    // Canaries, then a long look at them.
    let run = start(&house, json!({"canary": "1", "soak_seconds": 2})).await;
    let soaking = loop {
        let answer = house.admin.get(&run).await.expect(200).json();
        if answer["phase"] == "soak" {
            break answer;
        }
        assert_eq!(answer["state"], "running", "{answer}");
    };
    assert_eq!((&soaking["counts"]["done"], &soaking["counts"]["left"]), (&json!(1), &json!(1)), "{soaking}");
    // As one whose creation began before the release did.
    let late = make(&house, &organization, "schema", 1).await.remove(0);
    let id = late.parse::<rowhouse_domain::TenantId>().unwrap().as_uuid();
    house.sql(&format!("update tenants set schema_version = {OLD} where id = '{id}'")).await;
    let done = until(&house, &run, "done").await;
    assert_eq!(done["counts"]["done"], 3, "{done}");
    assert_eq!(number_in(&house, &format!("select count(*) from tenants where schema_version < {NEW}")).await, 0);
}

#[tokio::test]
async fn a_run_does_not_end_while_a_schema_is_being_made() {
    let house = house().await;
    let organization = house.organization().await;
    let first = make(&house, &organization, "schema", 1).await.remove(0);
    go(&house, "down", OLD).await;
    // Whoever makes the next one waits for this, in the database that both are in.
    let held = inside(&house, &first).await;
    held.run("select pg_advisory_lock(hashtextextended('rowhouse.grants', 0))").await.unwrap();
    let other = house.organization().await;
    let one_is_made = async { make(&house, &other, "schema", 1).await };
    let the_others_are_migrated = async {
        let unborn = "select count(*) from tenants where status = 'provisioning'";
        eventually(async || number_in(&house, unborn).await > 0, "none is being made").await;
        let run = start(&house, json!({"canary": "0"})).await;
        let done = async || house.admin.get(&run).await.expect(200).json()["counts"]["done"].clone();
        eventually(async || done().await == 1, "the first one is not migrated").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(house.admin.get(&run).await.expect(200).json()["state"], "running");
        drop(held);
        until(&house, &run, "done").await;
    };
    tokio::join!(one_is_made, the_others_are_migrated);
}

#[tokio::test]
async fn a_schema_that_is_held_back_stays_where_it_is() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 3).await;
    go(&house, "down", OLD).await;
    let hold = format!("/v1/tenants/{}/migration-hold", tenants[1]);
    let put = |body| house.admin.request(reqwest::Method::PUT, &hold).json(&body);
    rowhouse_testkit::Answer::of(put(json!({"reason": ""}))).await.problem(422, "invalid_request");
    let _ = rowhouse_testkit::Answer::of(put(json!({"reason": "their window is on Sunday"}))).await.expect(200);
    let run = go(&house, "up", NEW).await;
    assert_eq!((&run["counts"]["done"], &run["counts"]["failed"]), (&json!(2), &json!(0)), "{run}");
    assert_eq!(look(&house, &tenants[1]).await, (false, OLD));
    let status = house.admin.get("/v1/migrations").await.expect(200).json();
    assert_eq!((&status["behind"], &status["held"]), (&json!(1), &json!(1)), "{status}");
    let _ = house.admin.delete(&hold).await.expect(204);
    go(&house, "up", NEW).await;
    assert_eq!(look(&house, &tenants[1]).await, (true, NEW));
}

#[tokio::test]
async fn tenants_are_served_while_they_are_migrated() {
    let house = house().await;
    let organization = house.organization().await;
    make(&house, &organization, "dedicated", 2).await;
    let given = house.tenant().await;
    let _ = given.data.get("/v1/workspaces").await.expect(200);
    let is_over = AtomicBool::new(false);
    let ask = async || {
        while !is_over.load(Ordering::Relaxed) {
            let _ = given.data.get("/v1/workspaces").await.expect(200);
        }
    };
    let migrate = async {
        for _ in 0..3 {
            go(&house, "down", OLD).await;
            go(&house, "up", NEW).await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(migrate, futures::future::join_all((0..8).map(|_| ask())));
}
