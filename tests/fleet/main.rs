//! Migrating every tenant of a house, forward and back. A process of its own, and so a cluster of its own: its templates are of
//! a version that no release has.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod accepted;
mod backfills;
mod births;
mod canaries;
mod deaths;
mod drafts;
mod dry_runs;
mod failures;
mod faults;
mod gone;
mod histories;
mod needle;
mod notices;
mod orders;
mod outage;
mod plans;
mod platform;
mod releases;
mod runs;
mod served;
mod serving;
mod together;
mod verify;
mod workers;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rowhouse_database::AdminConnection;
use rowhouse_settings::Settings;
use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The newest version of these tests, and the release's.
const NEW: i64 = OLD + 1;
const OLD: i64 = 8;

const FORWARD: &str = "alter table workspaces add column motto text;\n";
const BACK: &str = "alter table workspaces drop column motto;\n";

/// The release's migrations and one more.
fn folder() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tenant-migrations"), folder.path());
        std::fs::write(folder.path().join(format!("V{NEW}__mottos.sql")), FORWARD).unwrap();
        std::fs::write(folder.path().join(format!("undo/{NEW}__mottos.sql")), BACK).unwrap();
        folder
    });
    folder.path().to_owned()
}

/// Copies the migrations of a folder, and what takes them back.
fn copy(from: &Path, to: &Path) {
    for part in ["", "undo"] {
        std::fs::create_dir_all(to.join(part)).unwrap();
        for entry in std::fs::read_dir(from.join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, to.join(part).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
}

/// A house whose tenants are born at the new version.
async fn house() -> TestHouse {
    house_with(|_| {}).await
}

/// The same with other settings.
async fn house_with(change: impl FnOnce(&mut Settings)) -> TestHouse {
    TestHouse::start_with(|settings| {
        settings.migrations.tenant_folder = folder();
        settings.migrations.poll = Duration::from_millis(100);
        // What tests do by hand between two runs would be found.
        settings.migrations.verify_in_runs = false;
        settings.migrations.verify_after_runs = false;
        change(settings);
    })
    .await
}

/// Tenants of one isolation, oldest first.
async fn make(house: &TestHouse, organization: &str, isolation: &str, count: usize) -> Vec<String> {
    let room = json!({"max_tenants": 1000});
    let _ = house.admin.patch(&format!("/v1/organizations/{organization}"), &room).await.expect(200);
    let mut tenants = Vec::new();
    for number in 0..count {
        let body = json!({"name": format!("{isolation} {number}"), "isolation": isolation});
        let made = house.admin.post(&format!("/v1/organizations/{organization}/tenants"), &body).await.expect(201);
        tenants.push(made.text("id"));
    }
    tenants
}

/// Starts a run and says its path. It may go to versions that no data plane serves, unless it says otherwise itself.
async fn start(house: &TestHouse, mut body: Value) -> String {
    let goes_far = body["to"].as_i64().is_none_or(|version| !(OLD..=NEW).contains(&version));
    if goes_far && body["ignore_served_versions"].is_null() {
        body["ignore_served_versions"] = json!(true);
    }
    house.admin.post("/v1/migration-runs", &body).await.expect(201).header("location").to_owned()
}

/// Waits for a run to be in a state, and gives it.
async fn until(house: &TestHouse, run: &str, state: &str) -> Value {
    let begun = Instant::now();
    loop {
        let answer = house.admin.get(run).await.expect(200).json();
        if answer["state"] == state {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "not {state}: {answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks again until it is so.
async fn eventually(is_so: impl AsyncFn() -> bool, otherwise: &str) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "{otherwise}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Goes to a version and waits.
async fn go(house: &TestHouse, direction: &str, version: i64) -> Value {
    let run = start(house, json!({"direction": direction, "to": version})).await;
    until(house, &run, "done").await
}

/// Runs `rowhouse migrate` against a house: its exit code, and what it says on both of its outputs.
async fn rowhouse(house: &TestHouse, arguments: &[&str]) -> (i32, String, String) {
    let mut command = tokio::process::Command::new(rowhouse_testkit::program("rowhouse"));
    command.arg("migrate").args(arguments).env_clear();
    command.envs([("ROWHOUSE_URL", house.admin.base()), ("ROWHOUSE_KEY", house.admin.key())]);
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A connection to the database of a tenant.
async fn inside(house: &TestHouse, tenant: &str) -> AdminConnection {
    let id = tenant.parse::<rowhouse_domain::TenantId>().unwrap().as_uuid();
    let rows = house.rows(&format!("select database_name from tenants where id = '{id}'")).await;
    TestCluster::get().admin(rows[0].try_get(0).unwrap()).await
}

/// Gives a tenant's table the new column by hand, so that the migration fails on it; or takes it away again.
async fn spoil(house: &TestHouse, tenant: &str, change: &str) {
    let column = format!("{change} column motto{}", if change == "add" { " text" } else { "" });
    inside(house, tenant).await.run(&format!("alter table workspaces {column}")).await.unwrap();
    // A database that somebody is connected to can't be cloned.
    let (database, _) = place(house, tenant).await;
    let admin = TestCluster::get().admin("postgres").await;
    let own = "select from pg_stat_activity where datname = $1 and usename = $2";
    let superuser = TestCluster::get().superuser().user;
    let begun = Instant::now();
    while !admin.query(own, &[&database, &superuser]).await.unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the session in {database} does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn number_in(house: &TestHouse, sql: &str) -> i64 {
    house.rows(sql).await[0].try_get(0).unwrap()
}

/// A tenant's database and schema.
async fn place(house: &TestHouse, tenant: &str) -> (String, String) {
    let id = tenant.parse::<rowhouse_domain::TenantId>().unwrap().as_uuid();
    let place = house.rows(&format!("select database_name, schema_name from tenants where id = '{id}'")).await;
    (place[0].try_get(0).unwrap(), place[0].try_get(1).unwrap())
}

/// Whether the schema of a tenant has the new column, and what its own history says.
async fn look(house: &TestHouse, tenant: &str) -> (bool, i64) {
    let (database, schema) = place(house, tenant).await;
    let admin = TestCluster::get().admin(&database).await;
    let column = "select exists (select from information_schema.columns
        where table_schema = $1 and table_name = 'workspaces' and column_name = 'motto')";
    let version = format!("select max(version)::bigint from {schema}.refinery_schema_history");
    let has_column = admin.query(column, &[&schema]).await.unwrap()[0].try_get(0).unwrap();
    (has_column, admin.query(&version, &[]).await.unwrap()[0].try_get(0).unwrap())
}
