//! In which order a run goes, how far, and to whom; and what it is told from a terminal.

use std::time::Duration;

use rowhouse_testkit::TestHouse;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    NEW, OLD, copy, eventually, folder, go, house, house_with, look, make, number_in, rowhouse, spoil, start, until,
};

/// The tenants of the latest run by when they were begun, as places in the order in which they were made.
async fn begun(house: &TestHouse) -> Vec<i64> {
    let sql = "select (select count(*) from tenants earlier where earlier.created_at < tenant.created_at)
        from migration_run_schemas begun join tenants tenant on tenant.id = begun.schema_id
        where begun.run_id = (select id from migration_runs order by created_at desc limit 1)
        order by begun.started_at";
    house.rows(sql).await.iter().map(|row| row.try_get(0).unwrap()).collect()
}

async fn hold(house: &TestHouse, tenant: &str, arguments: &[&str]) {
    let mut all = vec!["hold", tenant, "--reason", "their window is on Sunday"];
    all.extend(arguments);
    let (code, _, errors) = rowhouse(house, &all).await;
    assert_eq!(code, 0, "{errors}");
}

#[tokio::test]
async fn the_smallest_go_first_or_the_oldest_or_any() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "schema", 6).await;
    for (tenant, bytes) in tenants.iter().zip([5, 3, 6, 1, 4, 2]) {
        let id = tenant.parse::<rowhouse_domain::TenantId>().unwrap().as_uuid();
        house.sql(&format!("update tenants set used_storage = {bytes} where id = '{id}'")).await;
    }
    let mut drawn = Vec::new();
    for (order, direction, version) in [
        ("smallest", "down", OLD),
        ("oldest", "up", NEW),
        ("random", "down", OLD),
        ("random", "up", NEW),
        ("random", "down", OLD),
    ] {
        let body = json!({"order": order, "direction": direction, "to": version, "parallel": 1, "canary": "0"});
        let run = start(&house, body).await;
        until(&house, &run, "done").await;
        let begun = begun(&house).await;
        match order {
            "smallest" => assert_eq!(begun, [3, 5, 1, 4, 0, 2]),
            "oldest" => assert_eq!(begun, [0, 1, 2, 3, 4, 5]),
            _ => drawn.push(begun),
        }
    }
    // Of 720 each time, and so not always the same, whichever that is.
    assert!(drawn.iter().any(|order| *order != drawn[0]), "{drawn:?}");
}

#[tokio::test]
async fn there_is_a_pause_between_two_batches() {
    let house = house().await;
    let organization = house.organization().await;
    make(&house, &organization, "schema", 5).await;
    go(&house, "down", OLD).await;
    let arguments = ["run", "--canary", "0", "--batch", "2", "--pause-between", "2s"];
    let (code, _, errors) = rowhouse(&house, &arguments).await;
    assert!(code == 0 && errors.contains("5 done"), "{errors}");
    // What is said where there is no terminal.
    assert!(errors.contains(" of 5 fleet: "), "{errors}");
    let gaps = "select extract(epoch from started_at - lag(finished_at) over (order by started_at))::double precision
        from migration_run_schemas where run_id = (select id from migration_runs order by created_at desc limit 1)
        order by started_at";
    let gaps: Vec<Option<f64>> = house.rows(gaps).await.iter().map(|row| row.try_get(0).unwrap()).collect();
    // The pause is counted from when the worker began to look, which is a moment before the batch counts as ended.
    let pauses: Vec<bool> = gaps.iter().map(|gap| gap.is_some_and(|gap| gap >= 1.9)).collect();
    assert_eq!(pauses, [false, false, true, false, true], "{gaps:?}");
}

#[tokio::test]
async fn a_schema_that_is_held_at_a_version_is_brought_up_to_it_and_no_further() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "schema", 2).await;
    go(&house, "down", OLD - 1).await;
    hold(&house, &tenants[0], &["--at", &OLD.to_string()]).await;
    let plan = house.admin.get("/v1/migrations/plan").await.expect(200).json();
    assert_eq!(plan["held"][0]["up_to_version"], OLD, "{plan}");
    assert_eq!(go(&house, "up", NEW).await["counts"]["done"], 2);
    assert_eq!(look(&house, &tenants[0]).await, (false, OLD));
    assert_eq!(look(&house, &tenants[1]).await, (true, NEW));
    let (code, said, errors) = rowhouse(&house, &["release", &tenants[0]]).await;
    assert!(code == 0 && format!("{said}{errors}").contains("goes with the others again"), "{said}{errors}");
    assert_eq!(go(&house, "up", NEW).await["counts"]["done"], 1);
    assert_eq!(look(&house, &tenants[0]).await, (true, NEW));
}

#[tokio::test]
async fn only_those_are_migrated_that_are_wanted() {
    let house = house().await;
    let organization = house.organization().await;
    let mut tenants = make(&house, &organization, "schema", 2).await;
    let body = json!({"name": "on trial", "isolation": "schema", "type": "trial"});
    let made = house.admin.post(&format!("/v1/organizations/{organization}/tenants"), &body).await.expect(201);
    tenants.push(made.text("id"));
    go(&house, "down", OLD).await;
    for (selection, at) in
        [("type=trial".to_owned(), [OLD, OLD, NEW]), (format!("tenant={}", tenants[1]), [OLD, NEW, NEW])]
    {
        let (code, _, errors) = rowhouse(&house, &["run", "--where", &selection]).await;
        assert!(code == 0 && errors.contains("1 done"), "{selection}: {errors}");
        for (tenant, version) in tenants.iter().zip(at) {
            assert_eq!(look(&house, tenant).await, (version == NEW, version), "{selection}");
        }
    }
}

#[tokio::test]
async fn all_that_is_said_of_those_who_are_wanted_narrows_them() {
    let house = house().await;
    let (one, other) = (house.organization().await, house.organization().await);
    let made = async |organization: &str, kind: &str| {
        let body = json!({"name": kind, "isolation": "schema", "type": kind});
        house.admin.post(&format!("/v1/organizations/{organization}/tenants"), &body).await.expect(201).text("id")
    };
    let tenants = [made(&one, "standard").await, made(&one, "trial").await, made(&other, "trial").await];
    go(&house, "down", OLD).await;
    for (selection, at) in [
        (format!("type=trial,tenant={}", tenants[0]), [OLD, OLD, OLD]),
        (format!("org={other},tenant={}", tenants[1]), [OLD, OLD, OLD]),
        (format!("type=trial,cluster=default,org={one}"), [OLD, NEW, OLD]),
        (format!("cluster=default,org={other}"), [OLD, NEW, NEW]),
    ] {
        let (code, said, errors) = rowhouse(&house, &["plan", "--where", &selection, "--json"]).await;
        let plan: Value = serde_json::from_str(&said).unwrap();
        let (_, said, _) = rowhouse(&house, &["run", "--where", &selection, "--json"]).await;
        let run: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((code, &run["counts"]["done"]), (0, &plan["ahead"]), "{selection}: {errors}");
        for (tenant, version) in tenants.iter().zip(at) {
            assert_eq!(look(&house, tenant).await, (version == NEW, version), "{selection}");
        }
    }
}

#[tokio::test]
async fn a_run_halts_at_the_share_that_may_fail_and_says_its_order() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "schema", 8).await;
    go(&house, "down", OLD).await;
    for tenant in &tenants[..3] {
        crate::verify::meddle(&house, tenant, "alter table workspaces add column motto text").await;
    }
    let run = async |arguments: &[&str]| {
        let all = [&["run", "--canary", "0", "--parallel", "1", "--max-failures", "20%", "--json"], arguments].concat();
        let (code, said, errors) = rowhouse(&house, &all).await;
        (code, serde_json::from_str::<Value>(&said).unwrap_or_else(|_| panic!("{said}{errors}")))
    };
    // A fifth of eight, rounded up.
    let (code, halted) = run(&["--order", "oldest"]).await;
    let counts = &halted["counts"];
    assert_eq!((code, &counts["failed"], &counts["done"]), (3, &json!(2), &json!(0)), "{halted}");
    assert_eq!((&halted["max_failures"], &halted["order"]), (&json!(2), &json!("oldest")), "{halted}");
    let _ =
        house.admin.post(&format!("/v1/migration-runs/{}/cancel", halted["id"].as_str().unwrap()), &json!({})).await;
    for tenant in &tenants[..3] {
        crate::verify::meddle(&house, tenant, "alter table workspaces drop column motto").await;
    }
    let (code, done) = run(&["--order", "random"]).await;
    assert_eq!((code, &done["counts"]["done"], &done["order"]), (0, &json!(8), &json!("random")), "{done}");
    // Whatever failed before came last, in whichever order.
    let begun = begun(&house).await;
    assert!(begun[6..].iter().all(|place| *place < 2), "{begun:?}");
}

#[tokio::test]
async fn what_failed_comes_last_and_is_tried_again_when_somebody_says_so() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 4).await;
    go(&house, "down", OLD).await;
    spoil(&house, &tenants[0], "add").await;
    let body = json!({"canary": "0", "parallel": 1, "batch": 2, "pause_seconds": 3600});
    let run = start(&house, body).await;
    let id = run.rsplit('/').next().unwrap().to_owned();
    // The first batch is through, and there is a long pause.
    let seen = async || house.admin.get(&run).await.expect(200).json();
    eventually(async || !seen().await["waits_until"].is_null(), "there is no pause").await;
    let between = seen().await;
    assert_eq!((&between["counts"]["failed"], &between["counts"]["left"]), (&json!(1), &json!(2)), "{between}");
    let plan = house.admin.get("/v1/migrations/plan").await.expect(200).json();
    assert_eq!(plan["versions"][0]["failed_before"], 1, "{plan}");
    let last = plan["schemas"]["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["tenant_id"], &last["has_failed_before"]), (&json!(tenants[0]), &json!(true)), "{plan}");

    let told = async |order: &str| {
        let (code, said, errors) = rowhouse(&house, &[order, &id, "--json"]).await;
        assert_eq!(code, 0, "{order}: {errors}");
        serde_json::from_str::<Value>(&said).unwrap()
    };
    assert_eq!(told("pause").await["state"], "paused");
    house.sql("update migration_runs set waits_until = now() where waits_until is not null").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(house.admin.get(&run).await.expect(200).json()["counts"]["left"], 2, "nothing is begun");
    spoil(&house, &tenants[0], "drop").await;
    let retried = told("retry").await;
    assert_eq!((&retried["state"], &retried["counts"]["failed"]), (&json!("running"), &json!(0)), "{retried}");
    let is_done = async || {
        house.sql("update migration_runs set waits_until = now() where waits_until is not null").await;
        seen().await["state"] == "done"
    };
    eventually(is_done, "it does not go on").await;
    assert_eq!(seen().await["counts"]["done"], 4);
    assert_eq!(begun(&house).await.last(), Some(&0), "the one that failed came last");
    let (_, shown, _) = rowhouse(&house, &["show", &id]).await;
    assert!(tenants.len() == 4 && shown.matches("done").count() == 4, "{shown}");
    let (_, runs, _) = rowhouse(&house, &["runs"]).await;
    assert!(runs.contains(&id) && runs.contains("platform_key"), "{runs}");
    assert!(shown.contains("SECONDS") && shown.lines().skip(1).all(|line| line.contains('.')), "{shown}");
    assert_eq!(number_in(&house, "select count(*) from migration_holds").await, 0);
}

/// One that can't be undone, and one whose undo nobody wrote.
fn one_way() -> TempDir {
    let folder_of_one_way = tempfile::tempdir().unwrap();
    let write = |name: String, text: &str| std::fs::write(folder_of_one_way.path().join(name), text).unwrap();
    copy(&folder(), folder_of_one_way.path());
    for version in NEW + 1..=NEW + 6 {
        write(format!("V{version}__step.sql"), "select 1;\n");
        write(format!("undo/{version}__step.sql"), "select 1;\n");
    }
    write(format!("undo/{}__step.sql", NEW + 5), "-- rowhouse: irreversible the rows are gone\n");
    std::fs::remove_file(folder_of_one_way.path().join(format!("undo/{}__step.sql", NEW + 6))).unwrap();
    folder_of_one_way
}

#[tokio::test]
async fn a_run_back_over_what_has_no_way_back_is_refused_before_it_begins() {
    let one_way = one_way();
    let house = house_with(|settings| settings.migrations.tenant_folder = one_way.path().to_owned()).await;
    for (version, said) in [(NEW + 5, "has no undo file"), (NEW + 4, "the rows are gone")] {
        let body = json!({"direction": "down", "to": version});
        let refused = house.admin.post("/v1/migration-runs", &body).await.problem(422, "invalid_request");
        let detail = refused["errors"][0]["detail"].as_str().unwrap();
        assert_eq!(refused["errors"][0]["pointer"], "/to", "{refused}");
        assert!(detail.contains(said), "{version}: {refused}");
        let (code, _, errors) = rowhouse(&house, &["undo", "--to", &version.to_string()]).await;
        assert!(code == 1 && errors.contains("invalid_request"), "{code} {errors}");
    }
}
