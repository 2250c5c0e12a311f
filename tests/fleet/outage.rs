//! The server that holds `saas_platform` is killed while workers migrate: what they were at work on they finish without it, what
//! it forgot is claimed again, and the run goes on by itself when it is back.

use std::time::{Duration, Instant};

use rowhouse_database::AdminConnection;
use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::{Value, json};

use crate::deaths::{all_at, is_soak, slow_folder, until_begun};
use crate::verify::sweep;
use crate::{NEW, go, number_in, place, start};

/// Tenants on a server that stays up.
const APART: usize = 6;
/// Tenants beside `saas_platform`, whose server goes away under them, too.
const BESIDE: usize = 2;

/// A house on a server of its own, its tenants, and another server that most of them are on.
struct Outage {
    house: TestHouse,
    platform: TestCluster,
    apart: TestCluster,
    tenants: Vec<String>,
    beside: Vec<String>,
}

impl Outage {
    async fn prepare() -> Self {
        let platform = TestCluster::private_platform().await;
        let house = TestHouse::start_on(&platform, |settings| {
            let migrations = &mut settings.migrations;
            migrations.tenant_folder = slow_folder();
            migrations.poll = Duration::from_millis(100);
            migrations.lease = Duration::from_secs(3);
            migrations.verify_in_runs = false;
            migrations.verify_after_runs = false;
            migrations.parallel = 2;
            // Whoever asks meanwhile is to be told soon that nobody is there.
            settings.platform.checkout_timeout = Duration::from_secs(2);
        })
        .await;
        let apart = TestCluster::private().await;
        house.register("apart", &apart).await;
        let organization = house.organization().await;
        let room = json!({"max_tenants": 50});
        let _ = house.admin.patch(&format!("/v1/organizations/{organization}"), &room).await.expect(200);
        let path = format!("/v1/organizations/{organization}/tenants");
        let (mut tenants, mut beside) = (Vec::new(), Vec::new());
        for number in 0..APART + BESIDE {
            let mut body = json!({"name": format!("tenant {number}")});
            if number < APART {
                body["cluster"] = json!("apart");
            }
            let made = house.admin.post(&path, &body).await.expect(201).text("id");
            if number < APART { tenants.push(made) } else { beside.push(made) }
        }
        // Whoever makes a template brings to the disk what was claimed before: those of both versions are there from here on.
        go(&house, "down", NEW).await;
        go(&house, "up", NEW + 2).await;
        Self { house, platform, apart, tenants, beside }
    }

    /// Kills the server, does something while it is away, and has it started again.
    async fn without_platform<T>(mut self, meanwhile: impl AsyncFnOnce(&TestCluster) -> T) -> (Self, T) {
        let stopped = self.platform.kill().await;
        let done = meanwhile(&self.apart).await;
        self.platform = stopped.start().await;
        (self, done)
    }

    /// Waits for the run to be through, which nobody has told to go on.
    async fn through(&self, run: &str) -> Value {
        let begun = Instant::now();
        loop {
            let answer = self.house.admin.get(run).await;
            // The pools find out one by one that their connections are gone.
            if answer.status == 200 {
                let answer = answer.json();
                if answer["state"] == "done" {
                    return answer;
                }
                assert!(begun.elapsed() < Duration::from_secs(60), "the run does not go on: {answer}");
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "the control plane does not come back");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn expect_whole(&self, version: i64) {
        all_at(&self.house, &self.apart, &self.tenants, version).await;
        all_at(&self.house, &self.platform, &self.beside, version).await;
        self.house.expect_no_differences().await;
        let seen = sweep(&self.house).await;
        assert_eq!(seen["same"], APART + BESIDE, "{seen}");
    }
}

/// Keeps a tenant's table from being altered for as long as the connection lives.
pub(crate) async fn occupy(cluster: &TestCluster, database: &str) -> AdminConnection {
    let connection = cluster.admin(database).await;
    connection.run("begin; lock table workspaces in access share mode").await.unwrap();
    connection
}

/// Waits until a query of a database says that it is so.
pub(crate) async fn until_true(cluster: &TestCluster, database: &str, sql: &str) {
    let admin = cluster.admin(database).await;
    let begun = Instant::now();
    while !admin.query(sql, &[]).await.unwrap()[0].try_get::<_, bool>(0).unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never comes in {database} that {sql}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) const SOMEBODY_WAITS: &str = "select exists (select from pg_locks where not granted
    and database = (select oid from pg_database where datname = current_database()))";

/// A run with two schemas in the middle of their migrations, which wait for the connections that come with it.
async fn stuck(outage: &Outage, direction: &str, version: i64) -> (String, Vec<String>, Vec<AdminConnection>) {
    let (house, apart) = (&outage.house, &outage.apart);
    let (mut databases, mut occupied) = (Vec::new(), Vec::new());
    // Those that the first two hands take.
    for tenant in &outage.tenants[..2] {
        let database = place(house, tenant).await.0;
        occupied.push(occupy(apart, &database).await);
        databases.push(database);
    }
    let body = json!({"direction": direction, "to": version, "canary": "0", "parallel": 2, "order": "oldest",
        "lock_timeout_ms": 60_000});
    let run = start(house, body).await;
    for database in &databases {
        until_true(apart, database, SOMEBODY_WAITS).await;
    }
    assert_eq!(number_in(house, "select count(*) from migration_run_schemas where state = 'running'").await, 2);
    (run, databases, occupied)
}

/// Waits until the first of the two migrations is through in each database.
async fn until_migrated(apart: &TestCluster, databases: &[String], version: i64) {
    let there = format!("select max(version) = {version} from refinery_schema_history");
    for database in databases {
        until_true(apart, database, &there).await;
    }
}

fn expect_all_done(run: &Value) {
    let counts = &run["counts"];
    let expected = (&json!(APART + BESIDE), &json!(0), &json!(0));
    assert_eq!((&counts["done"], &counts["failed"], &counts["left"]), expected, "{run}");
}

#[tokio::test]
async fn what_is_migrated_while_the_platform_is_away_counts_when_it_is_back() {
    let outage = Outage::prepare().await;
    let (run, databases, occupied) = stuck(&outage, "down", NEW).await;
    // The claims are on the disk: when the server is back they are a dead worker's.
    outage.platform.admin("postgres").await.run("checkpoint").await.unwrap();
    let (outage, ()) = outage
        .without_platform(async |apart| {
            drop(occupied);
            until_migrated(apart, &databases, NEW).await;
        })
        .await;
    expect_all_done(&outage.through(&run).await);
    let taken_over = "select count(*) from migration_run_schemas where attempts = 2";
    assert_eq!(number_in(&outage.house, taken_over).await, 2);
    outage.expect_whole(NEW).await;
}

/// Schemas of the latest run.
const CLAIMED: &str = "select count(*) from migration_run_schemas
    where run_id = (select id from migration_runs order by id desc limit 1)";

/// Nothing of the run is left but the run: its claims were not on the disk.
async fn expect_forgotten(outage: &Outage) {
    assert_eq!(number_in(&outage.house, CLAIMED).await, 0);
}

#[tokio::test]
async fn what_is_migrated_under_a_claim_that_the_platform_forgot_counts() {
    let outage = Outage::prepare().await;
    let (run, _, occupied) = stuck(&outage, "down", NEW).await;
    let (outage, ()) = outage.without_platform(async |_| {}).await;
    expect_forgotten(&outage).await;
    // There is nobody else who could claim them again: the control plane's hands are full until it has written them down.
    drop(occupied);
    expect_all_done(&outage.through(&run).await);
    outage.expect_whole(NEW).await;
}

#[tokio::test]
async fn claims_that_the_platform_forgot_are_made_again_beside_those_who_are_still_at_work() {
    let outage = Outage::prepare().await;
    let (run, databases, occupied) = stuck(&outage, "down", NEW).await;
    let (outage, ()) = outage.without_platform(async |_| {}).await;
    expect_forgotten(&outage).await;
    // The control plane's hands are full.
    let worker = outage.house.migration_worker(&slow_folder(), 2);
    let since = Instant::now();
    while number_in(&outage.house, CLAIMED).await < 2 {
        assert!(since.elapsed() < Duration::from_secs(30), "nobody claims them again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if is_soak() {
        // For longer than whoever has claimed them again waits for the schema's lock.
        tokio::time::sleep(Duration::from_secs(35)).await;
    }
    drop(occupied);
    until_migrated(&outage.apart, &databases, NEW).await;
    expect_all_done(&outage.through(&run).await);
    outage.expect_whole(NEW).await;
    worker.terminate().await;
    assert_eq!(worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_run_goes_on_by_itself_after_the_platform_was_killed_at_any_moment() {
    let mut outage = Outage::prepare().await;
    // Beside the control plane, a process that has nothing but its connections.
    let worker = outage.house.migration_worker(&slow_folder(), 2);
    worker.started().await;
    let mut target = NEW;
    for milliseconds in [0, 60, 180, 320] {
        let direction = if target == NEW { "down" } else { "up" };
        let body = json!({"direction": direction, "to": target, "canary": "0", "parallel": 4});
        let run = start(&outage.house, body).await;
        until_begun(&outage.house, &run).await;
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        (outage, ()) = outage.without_platform(async |_| {}).await;
        // Also what was under way on the killed server itself.
        let done = outage.through(&run).await;
        assert_eq!((&done["counts"]["failed"], &done["counts"]["left"]), (&json!(0), &json!(0)), "{done}");
        outage.expect_whole(target).await;
        target = if target == NEW { NEW + 2 } else { NEW };
    }
    worker.terminate().await;
    assert_eq!(worker.exit_code().await, Some(0));
}
