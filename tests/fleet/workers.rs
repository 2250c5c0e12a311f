//! Runs that no control plane takes part in: workers in processes of their own do.

use std::time::{Duration, Instant};

use rowhouse_database::AdminConnection;
use rowhouse_testkit::{MigrationWorker, TestCluster, TestHouse};
use serde_json::json;

use crate::{NEW, OLD, eventually, folder, go, house_with, inside, look, make, number_in, place, start, until};

/// A house that takes requests for runs, and does none of the work.
pub(crate) async fn idle_house() -> TestHouse {
    house_with(|settings| settings.migrations.parallel = 0).await
}

/// Brings all tenants back, with a worker that is gone afterwards.
pub(crate) async fn back(house: &TestHouse) {
    let worker = house.migration_worker(&folder(), 4);
    go(house, "down", OLD).await;
    worker.terminate().await;
    assert_eq!(worker.exit_code().await, Some(0));
}

/// Keeps a tenant's table from being altered for as long as the connection lives.
pub(crate) async fn occupy(house: &TestHouse, tenant: &str) -> AdminConnection {
    let connection = inside(house, tenant).await;
    connection.run("begin; lock table workspaces in access share mode").await.unwrap();
    connection
}

pub(crate) async fn until_one_is_running(house: &TestHouse, run: &str) {
    let begun = Instant::now();
    while house.admin.get(run).await.expect(200).json()["counts"]["running"] != 1 {
        assert!(begun.elapsed() < Duration::from_secs(30), "no worker has begun");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until somebody waits for a lock in the tenant's database.
pub(crate) async fn until_one_waits(house: &TestHouse, tenant: &str) {
    let (database, _) = place(house, tenant).await;
    let admin = TestCluster::get().admin("postgres").await;
    let waiting = "select pid from pg_stat_activity where datname = $1 and wait_event_type = 'Lock'";
    let begun = Instant::now();
    while admin.query(waiting, &[&database]).await.unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody waits for a lock in {database}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn no_run_begins_while_a_schema_of_a_cancelled_one_is_under_way() {
    let house = idle_house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 1).await;
    back(&house).await;
    let occupied = occupy(&house, &tenants[0]).await;
    let run = start(&house, json!({"canary": "0"})).await;
    let _worker = house.migration_worker(&folder(), 1);
    until_one_is_running(&house, &run).await;
    let seen = house.admin.get(&run).await.expect(200).json();
    assert!(
        seen["slowest"]["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0),
        "the one at work is named: {seen}"
    );
    let _ = house.admin.post(&format!("{run}/cancel"), &json!({})).await.expect(200);
    let again = json!({"direction": "down", "to": OLD});
    let refused = house.admin.post("/v1/migration-runs", &again).await.problem(409, "migration_running");
    assert!(refused["detail"].as_str().unwrap().contains("was cancelled"), "{refused}");
    drop(occupied);
    until(&house, &run, "cancelled").await;
    let begun = Instant::now();
    while house.admin.post("/v1/migration-runs", &again).await.status == 409 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the cancelled run's schema is never finished");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn many_workers_begin_no_more_than_one() {
    let house = idle_house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "schema", 30).await;
    back(&house).await;
    let workers: Vec<_> = (0..4).map(|_| house.migration_worker(&folder(), 4)).collect();
    let run = start(&house, json!({"canary": "0", "parallel": 1})).await;
    let mut most = 0;
    loop {
        let seen = house.admin.get(&run).await.expect(200).json();
        most = most.max(seen["counts"]["running"].as_i64().unwrap());
        if seen["state"] == "done" {
            assert_eq!(seen["counts"]["done"], 30, "{seen}");
            break;
        }
    }
    assert_eq!(most, 1);
    // Each was begun after the one before it had ended.
    let overlaps = "select count(*) from migration_run_schemas one join migration_run_schemas other
        on one.run_id = other.run_id and one.schema_id < other.schema_id
            and one.started_at < other.finished_at and other.started_at < one.finished_at
        where one.run_id = (select id from migration_runs order by created_at desc limit 1)";
    assert_eq!(number_in(&house, overlaps).await, 0);
    for worker in workers {
        worker.terminate().await;
        assert_eq!(worker.exit_code().await, Some(0));
    }
    assert_eq!(look(&house, &tenants[29]).await, (true, NEW));
}

#[tokio::test]
async fn what_a_worker_claimed_and_lost_is_taken_over_while_it_lives() {
    let house = idle_house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 2).await;
    back(&house).await;
    let occupied = occupy(&house, &tenants[0]).await;
    let run = start(&house, json!({"canary": "0", "order": "oldest"})).await;
    let worker = house.migration_worker(&folder(), 2);
    until_one_is_running(&house, &run).await;
    // As if the worker had claimed the other one and never got as far as beginning it.
    let claimed = "update migration_run_schemas set worker = (select worker from migration_run_schemas
            where state = 'running' limit 1), state = 'running', finished_at = null,
            leased_until = now() + interval '3 seconds'
        where state = 'done' and run_id = (select id from migration_runs order by created_at desc limit 1)";
    let begun = Instant::now();
    while house.admin.get(&run).await.expect(200).json()["counts"]["done"] != 1 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the other one is not migrated");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house.sql(claimed).await;
    drop(occupied);
    let done = until(&house, &run, "done").await;
    assert_eq!(done["counts"]["done"], 2, "{done}");
    worker.terminate().await;
    assert_eq!(worker.exit_code().await, Some(0));
}

/// A worker that waits for a lock in the only schema of its run.
struct Held {
    tenant: String,
    occupied: AdminConnection,
    run: String,
    worker: MigrationWorker,
}

async fn held_up(house: &TestHouse) -> Held {
    let organization = house.organization().await;
    let tenant = make(house, &organization, "dedicated", 1).await.remove(0);
    back(house).await;
    let occupied = occupy(house, &tenant).await;
    let run = start(house, json!({"canary": "0", "lock_timeout_ms": 60_000})).await;
    let worker = house.migration_worker(&folder(), 1);
    until_one_is_running(house, &run).await;
    until_one_waits(house, &tenant).await;
    Held { tenant, occupied, run, worker }
}

#[tokio::test]
async fn a_worker_that_lost_its_schema_to_another_one_says_nothing_of_it() {
    let house = idle_house().await;
    let Held { tenant, occupied, run, worker } = held_up(&house).await;
    house.sql("update migration_run_schemas set worker = 'another', leased_until = now() + interval '1 hour' where state = 'running'").await;
    drop(occupied);
    eventually(async || look(&house, &tenant).await == (true, NEW), "it is not migrated").await;
    worker.terminate().await;
    assert_eq!(worker.exit_code().await, Some(0));
    let recorded = format!("select count(*) from tenants where schema_version = {OLD}");
    assert_eq!(number_in(&house, &recorded).await, 1);
    // Whoever has it now finds it where it is.
    house.sql("update migration_run_schemas set leased_until = now() where state = 'running'").await;
    let _worker = house.migration_worker(&folder(), 1);
    until(&house, &run, "done").await;
    assert_eq!(number_in(&house, &recorded).await, 0);
}

#[tokio::test]
async fn what_a_worker_has_done_counts_where_another_one_gave_the_schema_up() {
    let house = idle_house().await;
    let Held { tenant, occupied, worker, .. } = held_up(&house).await;
    // As others do who took it over and found it locked each time.
    let given_up =
        "update migration_run_schemas set state = 'failed', error = 'locked', to_version = from_version, worker = null,
        leased_until = null, finished_at = clock_timestamp() where state = 'running'";
    house.sql(given_up).await;
    drop(occupied);
    eventually(async || look(&house, &tenant).await == (true, NEW), "it is not migrated").await;
    worker.terminate().await;
    assert_eq!(worker.exit_code().await, Some(0));
    assert_eq!(number_in(&house, &format!("select count(*) from tenants where schema_version = {NEW}")).await, 1);
    house.expect_no_differences().await;
}

#[tokio::test]
async fn two_workers_finish_a_run_together_and_end_cleanly() {
    let house = idle_house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 5).await;
    back(&house).await;
    let occupied = occupy(&house, &tenants[0]).await;
    let run = start(&house, json!({"canary": "0", "order": "oldest"})).await;
    let workers = [house.migration_worker(&folder(), 1), house.migration_worker(&folder(), 1)];
    // One of them waits for the first tenant's table: the other tenants are left to the other one.
    let begun = Instant::now();
    while house.admin.get(&run).await.expect(200).json()["counts"]["done"] != 4 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the other worker does nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(occupied);
    let done = until(&house, &run, "done").await;
    assert_eq!(done["counts"]["done"], 5, "{done}");
    for tenant in &tenants {
        assert_eq!(look(&house, tenant).await, (true, NEW));
    }
    for worker in workers {
        worker.terminate().await;
        assert_eq!(worker.exit_code().await, Some(0));
    }
    house.expect_no_differences().await;
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_finishes_what_it_has_begun() {
    let house = idle_house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 2).await;
    back(&house).await;
    let occupied = occupy(&house, &tenants[0]).await;
    let run = start(&house, json!({"canary": "0", "order": "oldest"})).await;
    let mut worker = house.migration_worker(&folder(), 1);
    until_one_is_running(&house, &run).await;
    worker.terminate().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(worker.is_running(), "it has left a schema in the middle");
    drop(occupied);
    assert_eq!(worker.exit_code().await, Some(0));
    let left = house.admin.get(&run).await.expect(200).json();
    assert_eq!((&left["counts"]["done"], &left["counts"]["left"]), (&json!(1), &json!(1)), "{left}");
    assert_eq!((look(&house, &tenants[0]).await, look(&house, &tenants[1]).await), ((true, NEW), (false, OLD)));
}
