//! Two releases at once, as they are while one replaces the other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::json;
use tempfile::TempDir;

use crate::together::on;
use crate::workers::{back, idle_house};
use crate::{NEW, OLD, copy, eventually, folder, go, house_with, look, make, number_in, place, start, until};

const LATER: i64 = NEW + 3;

/// The migrations of the release before.
fn earlier() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tenant-migrations")
}

/// Those of a later release, whose newest version no other test has a template of.
fn later() -> TempDir {
    let later = tempfile::tempdir().unwrap();
    copy(&folder(), later.path());
    for version in NEW + 1..=LATER {
        for (name, text) in [("V", "add column slogan_"), ("undo/", "drop column slogan_")] {
            let kind = if name == "V" { " text" } else { "" };
            let text = format!("alter table workspaces {text}{version}{kind};\n");
            std::fs::write(later.path().join(format!("{name}{version}__slogan.sql")), text).unwrap();
        }
    }
    later
}

/// A worker of the earlier release, to which a run is nothing: it looks ten times a second.
async fn is_left_alone(house: &TestHouse, run: &str, left: i64) {
    let worker = house.migration_worker(&earlier(), 4);
    worker.started().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let seen = house.admin.get(run).await.expect(200).json();
    assert_eq!((&seen["state"], &seen["counts"]["left"]), (&json!("running"), &json!(left)), "{seen}");
    worker.terminate().await;
    assert_eq!(worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_worker_of_an_earlier_release_leaves_alone_what_it_does_not_know() {
    let house = idle_house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "schema", 3).await;
    let run = start(&house, json!({"direction": "down", "to": OLD, "canary": "0"})).await;
    is_left_alone(&house, &run, 3).await;
    let _ = house.admin.post(&format!("{run}/cancel"), &json!({})).await.expect(200);
    back(&house).await;
    let run = start(&house, json!({"canary": "0"})).await;
    is_left_alone(&house, &run, 3).await;
    let _worker = house.migration_worker(&folder(), 4);
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["failed"]), (&json!(3), &json!(0)), "{done}");
    for tenant in &tenants {
        assert_eq!(look(&house, tenant).await, (true, NEW));
    }
}

#[tokio::test]
async fn what_a_later_release_has_applied_is_taken_back_by_that_one() {
    let house = crate::house().await;
    let organization = house.organization().await;
    let tenant = make(&house, &organization, "schema", 1).await.remove(0);
    house.sql(&format!("update tenants set schema_version = {}", NEW + 1)).await;
    let back = json!({"direction": "down", "to": OLD});
    let refused = house.admin.post("/v1/migration-runs", &back).await.problem(422, "invalid_request");
    assert_eq!(refused["errors"][0]["pointer"], "/to", "{refused}");
    // One that no run back comes to keeps none from the others.
    let block = "insert into schema_checks (schema_id, state, is_blocking) select id, 'different', true from tenants";
    let hold = format!("/v1/tenants/{tenant}/migration-hold");
    let put = house.admin.request(reqwest::Method::PUT, &hold).json(&json!({"reason": "their window is on Sunday"}));
    let _ = rowhouse_testkit::Answer::of(put).await.expect(200);
    assert_eq!(go(&house, "down", OLD).await["counts"]["done"], 0);
    let _ = house.admin.delete(&hold).await.expect(204);
    house.admin.post("/v1/migration-runs", &back).await.problem(422, "invalid_request");
    house.sql(block).await;
    assert_eq!(go(&house, "down", OLD).await["counts"]["done"], 0);
    house.sql("delete from schema_checks").await;
    house.sql(&format!("update tenants set schema_version = {NEW}")).await;
    assert_eq!(go(&house, "down", OLD).await["counts"]["done"], 1);
}

#[tokio::test]
async fn what_a_later_release_left_of_a_cancelled_run_is_brought_to_an_end_by_an_earlier_one() {
    let house = idle_house().await;
    let organization = house.organization().await;
    make(&house, &organization, "schema", 1).await;
    for (direction, target, version) in [("down", OLD, NEW), ("up", NEW, OLD)] {
        if direction == "up" {
            back(&house).await;
        }
        let run = start(&house, json!({"direction": direction, "to": target, "canary": "0"})).await;
        // As by a worker that is killed at work.
        let begun = format!(
            "insert into migration_run_schemas (run_id, schema_id, name, phase, from_version, worker, leased_until)
            select run.id, tenant.id, tenant.name, 'fleet', {version}, 'killed', now() - interval '1 second'
            from migration_runs run, tenants tenant where run.state = 'running'"
        );
        house.sql(&begun).await;
        let _ = house.admin.post(&format!("{run}/cancel"), &json!({})).await.expect(200);
        let worker = house.migration_worker(&earlier(), 1);
        let seen = async || house.admin.get(&run).await.expect(200).json();
        eventually(async || seen().await["counts"]["running"] == 0, "nobody brings it to an end").await;
        assert_eq!(seen().await["counts"]["failed"], 1, "{}", seen().await);
        worker.terminate().await;
        assert_eq!(worker.exit_code().await, Some(0));
        let recorded = format!("select count(*) from tenants where schema_version = {version}");
        assert_eq!(number_in(&house, &recorded).await, 1, "{direction}");
    }
    // Nor is it in the way of others any more.
    let _ = start(&house, json!({})).await;
}

#[tokio::test]
async fn no_schema_is_migrated_where_the_template_cannot_be_made() {
    let later = later();
    let house = house_with(|settings| {
        settings.migrations.parallel = 0;
        settings.migrations.tenant_folder = later.path().to_owned();
    })
    .await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "schema", 2).await;
    let further = TestCluster::private().await;
    house.register("further", &further).await;
    on(&house, &organization, "further", "schema").await;
    let _worker = house.migration_worker(later.path(), 4);
    go(&house, "down", OLD).await;
    // A name that is taken.
    let taken = format!("template_v{LATER}");
    let admin = TestCluster::get().admin("postgres").await;
    admin.run(&format!("create database {taken} strategy wal_log")).await.unwrap();
    let run = start(&house, json!({"canary": "0", "max_failures": "3"})).await;
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["failed"], &done["counts"]["done"]), (&json!(2), &json!(1)), "{done}");
    // Those of the other cluster were not kept: each was begun by whoever claimed it first.
    let schemas = house.admin.get(&format!("{run}/schemas")).await.expect(200).json();
    assert!(schemas["items"].as_array().unwrap().iter().all(|one| one["attempts"] == 1), "{schemas}");
    let failed = house.admin.get(&format!("{run}/schemas?state=failed")).await.expect(200).json();
    assert!(failed["items"][0]["error"].as_str().unwrap().contains(&taken), "{failed}");
    for tenant in &tenants {
        assert_eq!(look(&house, tenant).await, (false, OLD));
    }
    admin.run(&format!("drop database {taken}")).await.unwrap();
    let run = start(&house, json!({"canary": "0"})).await;
    assert_eq!(until(&house, &run, "done").await["counts"]["done"], 2);
    let first = format!(
        "select count(*) from templates join clusters on clusters.id = templates.cluster_id
        where clusters.name = 'default' and schema_version = {LATER} and templates.created_at < (
            select min(finished_at) from migration_run_schemas where state = 'done'
                and run_id = (select id from migration_runs order by created_at desc limit 1))"
    );
    assert_eq!(number_in(&house, &first).await, 1);
    admin.run(&format!("alter database {taken} is_template false")).await.unwrap();
    admin.run(&format!("drop database {taken}")).await.unwrap();
}

#[tokio::test]
async fn a_shared_database_that_an_earlier_release_left_is_brought_on_and_its_row_is_true() {
    let house = crate::house().await;
    let organization = house.organization().await;
    let first = make(&house, &organization, "shared", 1).await.remove(0);
    go(&house, "down", OLD).await;
    let (database, _) = place(&house, &first).await;
    let name = house.admin.get(&format!("/v1/tenants/{first}")).await.expect(200).text("name");
    let _ = house.admin.delete(&format!("/v1/tenants/{first}")).await.expect(204);
    let _ = house.admin.post(&format!("/v1/tenants/{first}/purge"), &json!({"name": name})).await.expect(204);
    // As its maker leaves it who dies before the end.
    house.sql("update group_databases set is_ready = false, schema_version = 0").await;
    // Tenants are born at the new version again, and no schema is there that a run brings on.
    assert_eq!(go(&house, "up", NEW).await["counts"]["done"], 0);
    let second = make(&house, &house.organization().await, "shared", 1).await.remove(0);
    assert_eq!(place(&house, &second).await.0, database);
    assert_eq!(look(&house, &second).await, (true, NEW));
    let recorded = format!("select count(*) from group_databases where schema_version = {NEW}");
    assert_eq!(number_in(&house, &recorded).await, 1);
    house.expect_no_differences().await;

    // Whoever writes something else there: the doctor sees it, and what joins is recorded at what all others are.
    house.sql(&format!("update group_databases set schema_version = {OLD}")).await;
    let third = make(&house, &house.organization().await, "shared", 1).await.remove(0);
    let id = third.parse::<rowhouse_domain::TenantId>().unwrap().as_uuid();
    let of_third = format!("select schema_version::bigint from tenants where id = '{id}'");
    assert_eq!(number_in(&house, &of_third).await, OLD);
    let found = house.differences(true).await;
    let group = found.iter().find(|one| one["check"] == "group.version").unwrap();
    assert!(group["fixed"] == true && group["subject"] == json!(database), "{found:#?}");
    assert_eq!(number_in(&house, &of_third).await, NEW);
    house.expect_no_differences().await;
}
