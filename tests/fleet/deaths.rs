//! Workers, and the server, that die in the middle of a schema: it is at one version or the other, and whoever comes next goes on.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use rand::RngExt;
use rowhouse_testkit::{MigrationWorker, TestCluster, TestHouse};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::outage::{SOMEBODY_WAITS, occupy, until_true};
use crate::verify::sweep;
use crate::{NEW, copy, folder, go, house_with, make, number_in, place, start, until};

/// The versions that tenants of these tests are born at, as a run says, and go back to.
const LAST: i64 = NEW + 2;
const FIRST: i64 = NEW;

/// Whether the tests that take minutes are wanted (`cargo xtask test --soak`).
#[expect(clippy::disallowed_methods, reason = "tests have no settings of their own")]
pub(crate) fn is_soak() -> bool {
    std::env::var("ROWHOUSE_SOAK").is_ok()
}

/// The others' migrations, one whose middle takes a while, and one that is outside of transactions.
pub(crate) fn slow_folder() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let made = FOLDER.get_or_init(|| {
        let made = tempfile::tempdir().unwrap();
        copy(&folder(), made.path());
        let write = |name: String, text: &str| std::fs::write(made.path().join(name), text).unwrap();
        write(
            format!("V{}__slowly.sql", NEW + 1),
            "alter table workspaces add column one text;\nselect pg_sleep(0.1);\nalter table workspaces add column two text;\n",
        );
        write(
            format!("undo/{}__slowly.sql", NEW + 1),
            "alter table workspaces drop column one;\nselect pg_sleep(0.1);\nalter table workspaces drop column two;\n",
        );
        write(
            format!("V{LAST}__outside.sql"),
            "-- rowhouse: no-transaction\ncreate index concurrently if not exists workspaces_one_idx on workspaces (one);\n",
        );
        write(format!("undo/{LAST}__outside.sql"), "drop index workspaces_one_idx;\n");
        made
    });
    made.path().to_owned()
}

/// What a schema has: of the migration in a transaction, of the one outside, and what its history says.
async fn parts(house: &TestHouse, cluster: &TestCluster, tenant: &str) -> (bool, bool, bool, i64) {
    let (database, schema) = place(house, tenant).await;
    let sql = format!(
        "select exists (select from pg_attribute where attrelid = '\"{schema}\".workspaces'::regclass and attname = 'one') as one,
            exists (select from pg_attribute where attrelid = '\"{schema}\".workspaces'::regclass and attname = 'two') as two,
            exists (select from pg_index where indexrelid = to_regclass('\"{schema}\".workspaces_one_idx') and indisvalid) as three,
            (select max(version)::bigint from \"{schema}\".refinery_schema_history) as version"
    );
    let rows = cluster.admin(&database).await.query(&sql, &[]).await.unwrap();
    let row = &rows[0];
    (row.try_get(0).unwrap(), row.try_get(1).unwrap(), row.try_get(2).unwrap(), row.try_get(3).unwrap())
}

/// No schema is between two versions. What is outside of transactions may be there before its version is.
async fn none_is_between(house: &TestHouse, cluster: &TestCluster, tenants: &[String]) {
    for tenant in tenants {
        let (one, two, three, version) = parts(house, cluster, tenant).await;
        assert!(one == two && one == (version > NEW), "{tenant} at {version}: {one} {two}");
        assert!(three || version < LAST, "{tenant} at {version} without its index");
    }
}

/// A house that takes requests for runs and leaves the work to processes that may die.
async fn idle_house() -> TestHouse {
    let house = house_with(|settings| {
        settings.migrations.parallel = 0;
        settings.migrations.tenant_folder = slow_folder();
        // So that they may die while they look, or write down what they saw.
        settings.migrations.verify_in_runs = true;
    })
    .await;
    let first = worker(&house);
    // No data plane serves it: tenants are born there because a run says so.
    go(&house, "up", LAST).await;
    first.terminate().await;
    assert_eq!(first.exit_code().await, Some(0));
    house
}

/// Goes to a version, slowly enough to be killed on the way.
async fn set_off(house: &TestHouse, version: i64) -> String {
    let direction = if version == LAST { "up" } else { "down" };
    let body = json!({"direction": direction, "to": version, "canary": "0", "parallel": 4, "max_failures": "1000"});
    start(house, body).await
}

fn worker(house: &TestHouse) -> MigrationWorker {
    house.migration_worker(&slow_folder(), 2)
}

async fn state(house: &TestHouse, run: &str) -> Value {
    house.admin.get(run).await.expect(200).json()["state"].clone()
}

/// Waits until some schema is under way, or none will be.
pub(crate) async fn until_begun(house: &TestHouse, run: &str) {
    let under_way =
        "select count(*) from migration_run_schemas where state = 'running' and leased_until > clock_timestamp()
        and started_at > clock_timestamp() - interval '1 second'";
    for _ in 0..200 {
        if number_in(house, under_way).await > 0 || state(house, run).await != "running" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

#[tokio::test]
async fn a_worker_that_is_killed_at_any_moment_leaves_no_schema_in_between() {
    let house = idle_house().await;
    let organization = house.organization().await;
    let mut tenants = make(&house, &organization, "dedicated", 4).await;
    tenants.extend(make(&house, &organization, "schema", 4).await);
    tenants.extend(make(&house, &organization, "shared", 1).await);
    let cluster = TestCluster::get();
    let (mut target, mut run) = (FIRST, set_off(&house, FIRST).await);
    let (kills, mut in_the_middle) = (if is_soak() { 50 } else { 5 }, 0);
    for kill in 0.. {
        // So many of them with a schema in their hands; the others were too early or too late.
        if in_the_middle == kills {
            break;
        }
        assert!(kill < 10 * kills, "only {in_the_middle} of {kill} were killed while they had a schema");
        if state(&house, &run).await == "done" {
            target = if target == FIRST { LAST } else { FIRST };
            run = set_off(&house, target).await;
        }
        let victim = worker(&house);
        let in_hand = format!(
            "select count(*) from migration_run_schemas where state = 'running' and worker like '{} %'",
            victim.id()
        );
        until_begun(&house, &run).await;
        let moment = rand::rng().random_range(0..400);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        victim.kill().await;
        in_the_middle += i64::from(number_in(&house, &in_hand).await > 0);
        none_is_between(&house, cluster, &tenants).await;
    }
    finish(&house, &run, target, &tenants).await;
}

/// Has a last worker finish: all are at the target, and all is as if nothing had happened.
async fn finish(house: &TestHouse, run: &str, target: i64, tenants: &[String]) {
    let last = worker(house);
    let done = until(house, run, "done").await;
    assert_eq!((&done["counts"]["failed"], &done["counts"]["left"]), (&json!(0), &json!(0)), "{done}");
    last.terminate().await;
    assert_eq!(last.exit_code().await, Some(0));
    for tenant in tenants {
        let is_last = target == LAST;
        assert_eq!(parts(house, TestCluster::get(), tenant).await, (is_last, is_last, is_last, target));
    }
    house.expect_no_differences().await;
    let seen = sweep(house).await;
    assert_eq!(seen["same"], seen["schemas"], "{seen}");
}

#[tokio::test]
async fn all_workers_that_are_killed_at_once_leave_no_schema_in_between() {
    let house = idle_house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 8).await;
    let run = set_off(&house, FIRST).await;
    for _ in 0..if is_soak() { 10 } else { 1 } {
        let workers = [worker(&house), worker(&house), worker(&house)];
        until_begun(&house, &run).await;
        let moment = rand::rng().random_range(0..300);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        futures::future::join_all(workers.map(MigrationWorker::kill)).await;
        none_is_between(&house, TestCluster::get(), &tenants).await;
    }
    finish(&house, &run, FIRST, &tenants).await;
}

/// A house whose control plane does the work, and tenants on a server that may be killed.
async fn fragile_house(tenants: usize) -> (TestHouse, TestCluster, Vec<String>) {
    let house = house_with(|settings| {
        settings.migrations.tenant_folder = slow_folder();
        settings.migrations.verify_in_runs = true;
    })
    .await;
    go(&house, "up", LAST).await;
    let (cluster, tenants) = fragile(&house, tenants).await;
    (house, cluster, tenants)
}

/// A cluster of the house that may die, with so many tenants.
async fn fragile(house: &TestHouse, tenants: usize) -> (TestCluster, Vec<String>) {
    let organization = house.organization().await;
    let cluster = TestCluster::private().await;
    house.register("fragile", &cluster).await;
    let room = json!({"max_tenants": 50});
    let _ = house.admin.patch(&format!("/v1/organizations/{organization}"), &room).await.expect(200);
    let mut made = Vec::new();
    for number in 0..tenants {
        let body = json!({"name": format!("tenant {number}"), "cluster": "fragile"});
        let tenant = house.admin.post(&format!("/v1/organizations/{organization}/tenants"), &body).await.expect(201);
        made.push(tenant.text("id"));
    }
    (cluster, made)
}

#[tokio::test]
async fn a_worker_that_stands_still_with_the_lock_on_templates_keeps_the_others_for_half_a_minute() {
    let house = idle_house().await;
    let (cluster, tenants) = fragile(&house, 2).await;
    let held = "select exists (select from pg_locks where locktype = 'advisory' and granted and objsubid = 1
        and (classid::bigint << 32) | objid::bigint = hashtextextended('rowhouse.template', 0))";
    let run = set_off(&house, FIRST).await;
    let sleeper = worker(&house);
    until_true(&cluster, "postgres", held).await;
    let frozen = sleeper.freeze();
    let rows = cluster.admin("postgres").await.query(held, &[]).await.unwrap();
    assert!(rows[0].try_get::<_, bool>(0).unwrap(), "it was quicker than this test");
    let other = worker(&house);
    through(&house, &cluster, &run, FIRST, &tenants).await;
    frozen.thaw();
    for worker in [sleeper, other] {
        worker.terminate().await;
        assert_eq!(worker.exit_code().await, Some(0));
    }
}

/// Waits for a run to be through: none has failed, and all is as if nothing had happened.
async fn through(house: &TestHouse, cluster: &TestCluster, run: &str, target: i64, tenants: &[String]) {
    let done = until(house, run, "done").await;
    assert_eq!((&done["counts"]["failed"], &done["counts"]["left"]), (&json!(0), &json!(0)), "{done}");
    for tenant in tenants {
        let is_last = target == LAST;
        assert_eq!(parts(house, cluster, tenant).await, (is_last, is_last, is_last, target));
    }
    house.expect_no_differences().await;
    let seen = sweep(house).await;
    assert_eq!(seen["same"], seen["schemas"], "{seen}");
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_no_schema_in_between_and_the_run_goes_on_by_itself() {
    let (house, mut cluster, tenants) = fragile_house(6).await;
    let mut target = FIRST;
    for _ in 0..if is_soak() { 10 } else { 2 } {
        let run = set_off(&house, target).await;
        until_begun(&house, &run).await;
        let moment = rand::rng().random_range(0..250);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        cluster = cluster.kill().await.start().await;
        none_is_between(&house, &cluster, &tenants).await;
        through(&house, &cluster, &run, target, &tenants).await;
        target = if target == FIRST { LAST } else { FIRST };
    }
    drop(cluster);
}

#[tokio::test]
async fn a_server_that_stays_away_halts_the_run_which_goes_on_when_it_is_back() {
    let (house, cluster, tenants) = fragile_house(4).await;
    let body = json!({"direction": "down", "to": FIRST, "canary": "0", "parallel": 2, "max_failures": "1"});
    let run = start(&house, body).await;
    until_begun(&house, &run).await;
    let stopped = cluster.kill().await;
    // It is waited for first.
    let halted = until(&house, &run, "halted").await;
    assert_ne!(halted["counts"]["failed"], 0, "{halted}");
    let cluster = stopped.start().await;
    none_is_between(&house, &cluster, &tenants).await;
    let _ = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200);
    through(&house, &cluster, &run, FIRST, &tenants).await;
    drop(cluster);
}

#[tokio::test]
async fn what_waits_for_a_server_is_left_when_its_run_is_paused_and_goes_on_with_it() {
    let (house, cluster, tenants) = fragile_house(4).await;
    let (database, _) = place(&house, &tenants[0]).await;
    let occupied = occupy(&cluster, &database).await;
    let body =
        json!({"direction": "down", "to": FIRST, "canary": "0", "max_failures": "1000", "lock_timeout_ms": 60_000});
    let run = start(&house, body).await;
    // One is in the middle, whatever the others are at.
    until_true(&cluster, &database, SOMEBODY_WAITS).await;
    let stopped = cluster.kill().await;
    drop(occupied);
    let _ = house.admin.post(&format!("{run}/pause"), &json!({})).await.expect(200);
    let still = async || house.admin.get(&run).await.expect(200).json()["counts"]["running"] == 0;
    crate::eventually(still, "somebody still waits for the server").await;
    let paused = house.admin.get(&run).await.expect(200).json();
    assert_eq!((&paused["state"], &paused["counts"]["failed"]), (&json!("paused"), &json!(0)), "{paused}");
    let cluster = stopped.start().await;
    let _ = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200);
    through(&house, &cluster, &run, FIRST, &tenants).await;
    drop(cluster);
}

/// For others who look on.
pub(crate) async fn all_at(house: &TestHouse, cluster: &TestCluster, tenants: &[String], version: i64) {
    for tenant in tenants {
        assert_eq!(parts(house, cluster, tenant).await.3, version, "{tenant}");
    }
    none_is_between(house, cluster, tenants).await;
}

#[tokio::test]
async fn a_worker_that_stands_still_for_longer_than_its_lease_spoils_nothing() {
    let house = idle_house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 8).await;
    let run = set_off(&house, FIRST).await;
    let sleeper = worker(&house);
    let running = "select count(*) from migration_run_schemas where state = 'running'";
    let in_a_transaction = "select count(*) from pg_stat_activity
        where datname = current_database() and state = 'idle in transaction'";
    // Whoever makes the template first has its lock meanwhile, and keeps everybody waiting who stands still then.
    let done = "select least(count(*), 1) from migration_run_schemas
        where state = 'done' and run_id = (select id from migration_runs order by id desc limit 1)";
    house.expect_figure(done, 1).await;
    let frozen = loop {
        until_begun(&house, &run).await;
        let frozen = sleeper.freeze();
        // What it had said of a schema by then is heard all the same.
        tokio::time::sleep(Duration::from_millis(200)).await;
        // In the middle of a claim it would keep everybody from the run's row, for as long as it stands still.
        if number_in(&house, running).await > 0 && number_in(&house, in_a_transaction).await == 0 {
            break frozen;
        }
        assert_eq!(state(&house, &run).await, "running", "it was quicker than this test");
    };
    // Its sessions stand still as well, and have their schemas' locks.
    let other = worker(&house);
    let begun = std::time::Instant::now();
    while number_in(&house, "select coalesce(max(attempts), 0)::bigint from migration_run_schemas").await < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody has taken over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    none_is_between(&house, TestCluster::get(), &tenants).await;
    frozen.thaw();
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["failed"]), (&json!(8), &json!(0)), "{done}");
    // What the sleeper said of schemas that were not its any more was not listened to.
    let twice = "select count(*) from migration_run_schemas where state <> 'done' or to_version <> from_version - 2";
    assert_eq!(number_in(&house, twice).await, 0);
    all_at(&house, TestCluster::get(), &tenants, FIRST).await;
    for worker in [sleeper, other] {
        worker.terminate().await;
        assert_eq!(worker.exit_code().await, Some(0));
    }
    house.expect_no_differences().await;
}
