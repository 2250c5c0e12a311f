//! Several runs at once: those that can't come to one schema, and those that could.

use std::time::{Duration, Instant};

use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::{Value, json};

use crate::workers::{occupy, until_one_is_running, until_one_waits};
use crate::{NEW, OLD, folder, go, house, house_with, look, make, number_in, start, until};

const RUNS: &str = "/v1/migration-runs";

/// Starts a run and expects it to be in another one's way; gives what it is told.
async fn refused(house: &TestHouse, selection: &Value, by: &str) -> Value {
    let body = json!({"where": selection, "direction": "down", "to": OLD});
    let problem = house.admin.post(RUNS, &body).await.problem(409, "migration_running");
    let id = by.rsplit('/').next().unwrap();
    assert_eq!(problem["run_id"], id, "{selection}: {problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(id) && detail.contains("cancel it"), "{detail}");
    problem
}

async fn cancel(house: &TestHouse, run: &str) {
    let _ = house.admin.post(&format!("{run}/cancel"), &json!({})).await.expect(200);
}

pub(crate) async fn on(house: &TestHouse, organization: &str, cluster: &str, isolation: &str) -> String {
    let body =
        json!({"name": format!("{isolation} {}", uuid::Uuid::now_v7()), "cluster": cluster, "isolation": isolation});
    house.admin.post(&format!("/v1/organizations/{organization}/tenants"), &body).await.expect(201).text("id")
}

#[tokio::test]
async fn two_organizations_are_migrated_at_once_and_each_run_keeps_to_its_own() {
    let house = house().await;
    let (one, other) = (house.organization().await, house.organization().await);
    let ones = make(&house, &one, "dedicated", 2).await;
    let others = make(&house, &other, "schema", 2).await;
    go(&house, "down", OLD).await;
    let occupied = occupy(&house, &ones[0]).await;
    let slow = json!({"where": {"organization_id": one}, "canary": "0", "parallel": 1, "lock_timeout_ms": 60_000});
    let first = start(&house, slow).await;
    until_one_is_running(&house, &first).await;
    until_one_waits(&house, &ones[0]).await;
    // The first is at work; the second goes through all the same.
    let second = start(&house, json!({"where": {"organization_id": other}, "canary": "0"})).await;
    let done = until(&house, &second, "done").await;
    assert_eq!(done["counts"]["done"], 2, "{done}");
    for tenant in &others {
        assert_eq!(look(&house, tenant).await, (true, NEW));
    }
    let status = house.admin.get("/v1/migrations").await.expect(200).json();
    assert_eq!(status["runs"].as_array().map(Vec::len), Some(1), "{status}");
    // A tenant that is made meanwhile is the first one's, and is not missed.
    let late = make(&house, &one, "schema", 1).await.remove(0);
    let id = late.parse::<rowhouse_domain::TenantId>().unwrap().as_uuid();
    house.sql(&format!("update tenants set schema_version = {OLD} where id = '{id}'")).await;
    drop(occupied);
    let done = until(&house, &first, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["failed"]), (&json!(3), &json!(0)), "{done}");
    house.expect_no_differences().await;
}

#[tokio::test]
async fn a_run_gets_the_next_free_hand_though_an_older_one_would_take_them_all() {
    let house = house_with(|settings| settings.migrations.parallel = 2).await;
    let (one, other) = (house.organization().await, house.organization().await);
    let ones = make(&house, &one, "dedicated", 4).await;
    let others = make(&house, &other, "dedicated", 1).await;
    let mut occupied = Vec::new();
    for tenant in &ones {
        occupied.push(occupy(&house, tenant).await);
    }
    let back = |organization: &str| {
        json!({"where": {"organization_id": organization}, "direction": "down", "to": OLD, "canary": "0",
            "order": "oldest", "lock_timeout_ms": 60_000})
    };
    let first = start(&house, back(&one)).await;
    for tenant in &ones[..2] {
        until_one_waits(&house, tenant).await;
    }
    let second = start(&house, back(&other)).await;
    // One hand is free now; the first run would be kept by its third tenant as well.
    drop(occupied.remove(0));
    let done = until(&house, &second, "done").await;
    assert_eq!(done["counts"]["done"], 1, "{done}");
    assert_eq!(look(&house, &others[0]).await, (false, OLD));
    drop(occupied);
    assert_eq!(until(&house, &first, "done").await["counts"]["done"], 4);
}

#[tokio::test]
async fn runs_over_two_clusters_go_together_and_others_are_told_of_the_one_in_their_way() {
    let house = house_with(|settings| settings.migrations.parallel = 0).await;
    let organization = house.organization().await;
    let further = TestCluster::private().await;
    house.register("further", &further).await;
    let here = on(&house, &organization, "default", "shared").await;
    let there = on(&house, &organization, "further", "shared").await;
    let beside = on(&house, &organization, "further", "dedicated").await;
    let first = start(&house, json!({"where": {"cluster": "default"}, "direction": "down", "to": OLD})).await;
    let second = start(&house, json!({"where": {"cluster": "further"}, "direction": "down", "to": OLD})).await;
    let status = house.admin.get("/v1/migrations").await.expect(200).json();
    let ids: Vec<&str> = status["runs"].as_array().unwrap().iter().filter_map(|run| run["id"].as_str()).collect();
    assert_eq!(ids.len(), 2, "{status}");
    assert!(first.ends_with(ids[0]) && second.ends_with(ids[1]), "{status}");
    // The whole fleet, whoever may be on either, and each tenant on the cluster that it is on.
    refused(&house, &json!({}), &first).await;
    refused(&house, &json!({"type": "trial"}), &first).await;
    refused(&house, &json!({"organization_id": organization}), &first).await;
    refused(&house, &json!({"tenant_id": here}), &first).await;
    refused(&house, &json!({"tenant_id": there}), &second).await;
    refused(&house, &json!({"cluster": "further", "type": "trial"}), &second).await;
    let plan = house.admin.get("/v1/migrations/plan").await.expect(200).json();
    assert_eq!(plan["waits_for"].as_array().map(Vec::len), Some(2), "{plan}");
    let plan = house.admin.get(&format!("/v1/migrations/plan?tenant_id={there}")).await.expect(200).json();
    assert_eq!(plan["waits_for"], json!([ids[1]]), "{plan}");
    // A paused one may be resumed at any time.
    let _ = house.admin.post(&format!("{first}/pause"), &json!({})).await.expect(200);
    refused(&house, &json!({"cluster": "default"}), &first).await;
    cancel(&house, &second).await;
    let third = start(&house, json!({"where": {"tenant_id": there}, "direction": "down", "to": OLD})).await;
    // One that shares its database is another set than one that does not.
    start(&house, json!({"where": {"tenant_id": beside}, "direction": "down", "to": OLD})).await;
    refused(&house, &json!({"cluster": "further"}), &third).await;
}

#[tokio::test]
async fn tenants_of_two_organizations_that_share_a_database_are_one_set() {
    let house = house_with(|settings| settings.migrations.parallel = 0).await;
    let (one, other) = (house.organization().await, house.organization().await);
    let ones = make(&house, &one, "shared", 1).await.remove(0);
    let others = make(&house, &other, "shared", 1).await.remove(0);
    let run = start(&house, json!({"where": {"tenant_id": ones}, "direction": "down", "to": OLD})).await;
    refused(&house, &json!({"tenant_id": others}), &run).await;
    // What is about an organization leaves shared databases out.
    start(&house, json!({"where": {"organization_id": other}, "direction": "down", "to": OLD})).await;
}

#[tokio::test]
async fn of_two_types_that_change_hands_only_one_is_migrated_at_a_time() {
    let house = house_with(|settings| settings.migrations.parallel = 0).await;
    let run = start(&house, json!({"where": {"type": "trial"}, "direction": "down", "to": OLD})).await;
    refused(&house, &json!({"type": "standard"}), &run).await;
}

#[tokio::test]
async fn a_cancelled_run_is_in_the_way_of_its_own_set_only_until_its_last_schema_is_finished() {
    let house = house_with(|settings| settings.migrations.parallel = 0).await;
    let (one, other) = (house.organization().await, house.organization().await);
    let tenant = make(&house, &one, "dedicated", 1).await.remove(0);
    let occupied = occupy(&house, &tenant).await;
    let body = json!({"where": {"organization_id": one}, "direction": "down", "to": OLD, "lock_timeout_ms": 60_000});
    let run = start(&house, body).await;
    let worker = house.migration_worker(&folder(), 1);
    until_one_waits(&house, &tenant).await;
    cancel(&house, &run).await;
    let again = json!({"where": {"organization_id": one}});
    let told = house.admin.post(RUNS, &again).await.problem(409, "migration_running");
    assert!(told["detail"].as_str().unwrap().contains("was cancelled"), "{told}");
    assert_eq!(told["run_id"], run.rsplit('/').next().unwrap(), "{told}");
    start(&house, json!({"where": {"organization_id": other}})).await;
    drop(occupied);
    let begun = Instant::now();
    while house.admin.post(RUNS, &again).await.status == 409 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the cancelled run's schema is never finished");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    worker.terminate().await;
    assert_eq!(worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn no_schema_is_in_the_hands_of_two_runs_whatever_they_select() {
    let house = house_with(|settings| settings.migrations.parallel = 0).await;
    let (one, other) = (house.organization().await, house.organization().await);
    let tenant = make(&house, &one, "dedicated", 1).await.remove(0);
    let occupied = occupy(&house, &tenant).await;
    let back = |organization: &str| json!({"where": {"organization_id": organization}, "direction": "down", "to": OLD, "lock_timeout_ms": 60_000});
    let runs = [start(&house, back(&one)).await, start(&house, back(&other)).await];
    // As if something were not as immutable as it is taken for.
    house.sql("update migration_runs set selection = '{}'").await;
    let worker = house.migration_worker(&folder(), 4);
    until_one_waits(&house, &tenant).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let running = "select count(*) from migration_run_schemas where state = 'running'";
        assert_eq!(number_in(&house, running).await, 1);
    }
    drop(occupied);
    for run in &runs {
        let run = until(&house, run, "done").await;
        assert_eq!(run["counts"]["failed"], 0, "{run}");
    }
    // The other run finds it there, if it looked before the first one had said so.
    let taken_back = "select count(*) from migration_run_schemas where steps <> '[]'";
    assert_eq!((number_in(&house, taken_back).await, look(&house, &tenant).await), (1, (false, OLD)));
    worker.terminate().await;
    assert_eq!(worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn of_operators_who_start_overlapping_runs_at_once_one_does_and_whoever_is_apart_is_not_kept() {
    let house = house_with(|settings| settings.migrations.parallel = 0).await;
    let (one, other) = (house.organization().await, house.organization().await);
    for _ in 0..5 {
        // Two for each of two sets, which overlap with one another in a way that no row shows.
        let wanted = [
            json!({"where": {"organization_id": one}}),
            json!({"where": {"organization_id": one, "type": "trial"}}),
            json!({"where": {"organization_id": other}}),
            json!({"where": {"organization_id": other, "type": "trial"}}),
        ];
        let starts = wanted.iter().chain(&wanted).map(|body| house.admin.post(RUNS, body));
        let answers = futures::future::join_all(starts).await;
        let (begun, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!((begun.len(), refused.len()), (2, 6));
        let begun: Vec<Value> = begun.into_iter().map(|answer| answer.json()).collect();
        let of = |run: &Value| run["selection"]["organization_id"].clone();
        assert_ne!(of(&begun[0]), of(&begun[1]), "{begun:?}");
        for answer in refused {
            let problem = answer.problem(409, "migration_running");
            assert!(begun.iter().any(|run| run["id"] == problem["run_id"]), "{problem}");
        }
        for run in &begun {
            cancel(&house, &format!("{RUNS}/{}", run["id"].as_str().unwrap())).await;
        }
    }
    assert_eq!(number_in(&house, "select count(*) from migration_runs").await, 10);
}
