//! Runs that no control plane takes part in: workers in processes of their own do.

use std::time::{Duration, Instant};

use rowhouse_database::AdminConnection;
use rowhouse_testkit::TestHouse;
use serde_json::json;

use crate::{NEW, OLD, folder, go, house_with, inside, look, make, start, until};

/// A house that takes requests for runs, and does none of the work.
async fn idle_house() -> TestHouse {
    house_with(|settings| settings.migrations.parallel = 0).await
}

/// Brings all tenants back, with a worker that is gone afterwards.
async fn back(house: &TestHouse) {
    let worker = house.migration_worker(&folder(), 4);
    go(house, "down", OLD).await;
    worker.terminate();
    assert_eq!(worker.exit_code().await, Some(0));
}

/// Keeps a tenant's table from being altered for as long as the connection lives.
async fn occupy(house: &TestHouse, tenant: &str) -> AdminConnection {
    let connection = inside(house, tenant).await;
    connection.run("begin; lock table workspaces in access share mode").await.unwrap();
    connection
}

async fn until_one_is_running(house: &TestHouse, run: &str) {
    let begun = Instant::now();
    while house.admin.get(run).await.expect(200).json()["counts"]["running"] != 1 {
        assert!(begun.elapsed() < Duration::from_secs(30), "no worker has begun");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
        worker.terminate();
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
    worker.terminate();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(worker.is_running(), "it has left a schema in the middle");
    drop(occupied);
    assert_eq!(worker.exit_code().await, Some(0));
    let left = house.admin.get(&run).await.expect(200).json();
    assert_eq!((&left["counts"]["done"], &left["counts"]["left"]), (&json!(1), &json!(1)), "{left}");
    assert_eq!((look(&house, &tenants[0]).await, look(&house, &tenants[1]).await), ((true, NEW), (false, OLD)));
}
