//! Trying out what a run would do.

use std::time::{Duration, Instant};

use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::{Value, json};

use crate::{OLD, go, house, house_with, look, make, rowhouse, spoil, start, until};

async fn schemas(house: &TestHouse, run: &str) -> Vec<Value> {
    let listed = house.admin.get(&format!("{run}/schemas")).await.expect(200).json();
    listed["items"].as_array().unwrap().clone()
}

/// Clones of this cluster, of whichever house.
async fn clones(schemas: &[Value]) -> usize {
    let admin = TestCluster::get().admin("postgres").await;
    let names: Vec<String> = schemas.iter().map(|schema| clone_of(schema["schema_id"].as_str().unwrap())).collect();
    admin.query("select from pg_database where datname = any ($1::text[]::name[])", &[&names]).await.unwrap().len()
}

fn clone_of(schema: &str) -> String {
    format!("rowhouse_rehearsal_{}", schema.replace('-', ""))
}

#[tokio::test]
async fn a_dry_run_says_what_would_fail_and_changes_nothing() {
    let house = house().await;
    let organization = house.organization().await;
    let mut tenants = make(&house, &organization, "dedicated", 3).await;
    tenants.extend(make(&house, &organization, "schema", 1).await);
    tenants.extend(make(&house, &organization, "shared", 2).await);
    go(&house, "down", OLD).await;
    spoil(&house, &tenants[1], "add").await;
    for how in ["clone", "in_place"] {
        let run = start(&house, json!({"dry_run": how})).await;
        let done = until(&house, &run, "done").await;
        let schemas = schemas(&house, &run).await;
        let counts = (&done["counts"]["done"], &done["counts"]["failed"]);
        assert_eq!(counts, (&json!(4), &json!(1)), "{schemas:#?}");
        for schema in &schemas {
            assert_eq!((&schema["rehearsed"], &schema["to_version"]), (&json!(how), &Value::Null), "{schema}");
            let step = &schema["steps"][0];
            if schema["tenant_id"] == json!(tenants[1]) {
                assert_eq!((&schema["state"], &schema["sqlstate"]), (&json!("failed"), &json!("42701")), "{schema}");
                assert_eq!(step["outcome"], "fails", "{schema}");
            } else {
                assert_eq!((&schema["state"], &step["outcome"]), (&json!("done"), &json!("works")), "{schema}");
                let lock = &step["locks"][0];
                assert_eq!((&lock["relation"], &lock["mode"]), (&json!("workspaces"), &json!("AccessExclusiveLock")));
                assert!(lock["blocks_reads"] == true && lock["milliseconds"] == step["milliseconds"], "{step}");
            }
        }
        assert_eq!(clones(&schemas).await, 0, "{how}");
        for (number, tenant) in tenants.iter().enumerate() {
            assert_eq!(look(&house, tenant).await, (number == 1, OLD), "{how} {number}");
        }
    }
    // What would have failed has not failed.
    assert_eq!(house.admin.get("/v1/migrations").await.expect(200).json()["failed"], 0);
    house
        .admin
        .post("/v1/migration-runs", &json!({"dry_run": "clone", "direction": "down", "to": 5}))
        .await
        .problem(422, "invalid_request");
    spoil(&house, &tenants[1], "drop").await;
    house.expect_no_differences().await;
}

#[tokio::test]
async fn nothing_is_tried_out_in_a_live_schema_that_nobody_asked_for() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 2).await;
    go(&house, "down", OLD).await;
    let connection = crate::inside(&house, &tenants[0]).await;
    // As long as this holds, an attempt in place would take its time and fail.
    connection.run("begin; lock table workspaces in access share mode").await.unwrap();
    let (code, table, errors) = rowhouse(&house, &["run", "--dry-run"]).await;
    assert_eq!(code, 7, "{table}{errors}");
    assert!(table.contains("not tried") && table.contains("works") && !table.contains("in_place"), "{table}");
    assert!(table.contains("workspaces") && table.contains("AccessExclusiveLock"), "{table}");
    let (_, json, _) = rowhouse(&house, &["run", "--dry-run", "--json"]).await;
    let run: Value = serde_json::from_str(&json).unwrap();
    let busy = run["schemas"].as_array().unwrap().iter().find(|one| one["tenant_id"] == json!(tenants[0])).unwrap();
    assert_eq!(busy["note"], "not cloned: 1 sessions are connected to its database", "{busy}");
    assert_eq!((&busy["state"], &busy["rehearsed"]), (&json!("skipped"), &Value::Null), "{busy}");
}

#[tokio::test]
async fn what_is_tried_out_in_place_keeps_others_waiting_for_no_longer_than_it_may() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 2).await;
    go(&house, "down", OLD).await;
    let connection = crate::inside(&house, &tenants[0]).await;
    connection.run("begin; lock table workspaces in access share mode").await.unwrap();
    let arguments = ["run", "--dry-run", "--in-place", "--lock-cap", "300", "--lock-timeout", "60000"];
    let (code, table, errors) = rowhouse(&house, &arguments).await;
    assert_eq!(code, 4, "{table}{errors}");
    assert!(table.contains("no longer than 300 ms") && errors.contains("1 schemas would fail"), "{table}{errors}");
    for tenant in &tenants {
        assert_eq!(look(&house, tenant).await, (false, OLD));
    }
}

#[tokio::test]
async fn what_a_dead_dry_run_left_is_found_and_dropped() {
    // The leader looks as often as a worker is missed: here the doctor comes first, and there the leader.
    for (lease, asks_doctor) in [(Duration::from_secs(600), true), (Duration::from_secs(1), false)] {
        let house = house_with(|settings| settings.migrations.lease = lease).await;
        leave_and_look(&house, asks_doctor).await;
    }
}

async fn leave_and_look(house: &TestHouse, asks_doctor: bool) {
    let organization = house.organization().await;
    make(house, &organization, "dedicated", 1).await;
    let rows = house.rows("select id from tenants").await;
    let id: uuid::Uuid = rows[0].try_get(0).unwrap();
    let (ours, others) = (clone_of(&id.to_string()), clone_of(&uuid::Uuid::now_v7().to_string()));
    let admin = TestCluster::get().admin("postgres").await;
    for name in [&ours, &others] {
        admin.run(&format!("create database {name} owner rowhouse_owner strategy wal_log")).await.unwrap();
    }
    let is_there = async |name: &String| {
        !admin.query("select from pg_database where datname = $1::text::name", &[name]).await.unwrap().is_empty()
    };
    if asks_doctor {
        let found = house.differences(true).await;
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0]["check"] == "database.rehearsal" && found[0]["fixed"] == true, "{found:#?}");
    }
    let begun = Instant::now();
    while is_there(&ours).await {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody drops it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    if !asks_doctor {
        // Another look.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    // It may be at work in another installation.
    assert!(is_there(&others).await);
    admin.run(&format!("drop database {others}")).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_too_large_for_a_clone_is_not_tried_out() {
    let house = house_with(|settings| settings.migrations.clone_max_bytes = 1_000).await;
    let organization = house.organization().await;
    make(&house, &organization, "dedicated", 1).await;
    go(&house, "down", OLD).await;
    let run = start(&house, json!({"dry_run": "clone"})).await;
    assert_eq!(until(&house, &run, "done").await["counts"]["skipped"], 1);
    let schema = schemas(&house, &run).await.remove(0);
    let note = schema["note"].as_str().unwrap();
    assert!(schema["state"] == "skipped" && note.contains("more than 1000 would"), "{schema}");
    let (code, _, errors) = rowhouse(&house, &["run", "--dry-run"]).await;
    assert!(code == 7 && errors.contains("--in-place"), "{code}: {errors}");
}

#[tokio::test]
async fn a_session_that_ends_soon_is_waited_for() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 1).await;
    go(&house, "down", OLD).await;
    let connection = crate::inside(&house, &tenants[0]).await;
    let run = start(&house, json!({"dry_run": "clone"})).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(connection);
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["skipped"]), (&json!(1), &json!(0)), "{done}");
}
