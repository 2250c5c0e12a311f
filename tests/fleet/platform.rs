//! The platform's own schema: brought forward by whoever starts first, refused by who can't serve from it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rowhouse_migrations::Set;
use rowhouse_testkit::{
    CONTROL_PASSWORD, DATA_PASSWORD, OwnDatabase, TestCluster, master_key, platform_database, program,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// A `saas_platform` with nobody at work on it, and settings for those who are to be.
struct Platform {
    database: OwnDatabase,
    folder: TempDir,
}

impl Platform {
    async fn new() -> Self {
        Self { database: platform_database().await, folder: tempfile::tempdir().unwrap() }
    }

    async fn sql(&self, sql: &str) {
        TestCluster::get().admin(&self.database.name).await.run(sql).await.unwrap();
    }

    /// How often a migration is recorded as applied.
    async fn recorded(&self, version: u32) -> i64 {
        let admin = TestCluster::get().admin(&self.database.name).await;
        let sql = format!("select count(*) from refinery_schema_history where version = {version}");
        admin.query(&sql, &[]).await.unwrap()[0].try_get(0).unwrap()
    }

    fn settings(&self, service: &str, port: u16) -> PathBuf {
        let password = if service == "control_plane" { CONTROL_PASSWORD } else { DATA_PASSWORD };
        let file = self.folder.path().join(format!("{service}-{port}.toml"));
        let text = format!(
            "platform = {{ port = {}, database = {:?}, password = {password:?}, max_connections = 4 }}\n\
             keys.master_key = {:?}\nblobs.root = {:?}\nusage.journal = {:?}\n{service} = {{ port = {port}, workers = 1 }}\n\
             admin.port = 0\nprovisioning = {{ stock = 0 }}\n",
            TestCluster::get().port(),
            self.database.name,
            master_key().to_text().expose_secret(),
            self.folder.path().join("blobs"),
            self.folder.path().join("usage"),
        );
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Starts a service; its log is kept.
    fn start(&self, service: &str, port: u16) -> Child {
        let mut command = Command::new(program(&service.replace('_', "-")));
        command.arg("--settings").arg(self.settings(service, port));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().unwrap()
    }

    /// `rowhouse migrate … platform …`: its exit code, and what it says.
    async fn migrate(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(program("rowhouse"));
        command.args(["migrate", arguments[0], "platform"]).args(&arguments[1..]);
        command.arg("--settings").arg(self.settings("control_plane", 0));
        said(command).await
    }
}

async fn said(mut command: Command) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(Duration::from_secs(60), command.kill_on_drop(true).output()).await;
    let output = output.expect("it ends by itself").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().port()
}

async fn until_ready(port: u16, child: &mut Child) {
    let url = format!("http://127.0.0.1:{port}/readyz");
    let begun = Instant::now();
    while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none() && begun.elapsed() < Duration::from_secs(60), "it does not come up: {ended:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Ends a service and gives its log.
async fn log_of(mut child: Child) -> String {
    child.start_kill().unwrap();
    String::from_utf8(child.wait_with_output().await.unwrap().stderr).unwrap()
}

/// The last line of a service that ends by itself, after it has said why.
async fn last_words(child: Child) -> String {
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
    let output = output.expect("it ends by itself").unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    log.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn two_control_planes_that_start_at_once_migrate_once_and_both_come_up() {
    let platform = Platform::new().await;
    let newest = Set::Platform.latest();
    let (code, said, errors) = platform.migrate(&["undo", "--to", "6", "--json"]).await;
    let undone: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{errors}"));
    assert_eq!((code, &undone["version"]), (Some(0), &json!(6)), "{errors}");
    let ports = [free_port().await, free_port().await];
    let mut replicas = ports.map(|port| platform.start("control_plane", port));
    for (port, replica) in ports.iter().zip(&mut replicas) {
        until_ready(*port, replica).await;
    }
    let mut logs = String::new();
    for replica in replicas {
        logs.push_str(&log_of(replica).await);
    }
    let applied = |version: u32| logs.lines().filter(|line| line.contains(&format!("V{version}__"))).count();
    // Whoever only waited for the other one did nothing.
    let (_, status, _) = platform.migrate(&["status", "--json"]).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let of = |action: &str, by: &str| {
        let is_one = |one: &&Value| one["action"] == action && one["operator"].as_str().unwrap().starts_with(by);
        status["changes"].as_array().unwrap().iter().filter(is_one).count()
    };
    assert_eq!(of("platform_schema.end", "control plane "), 1, "{status}");
    for version in 7..=newest {
        assert_eq!((platform.recorded(version).await, applied(version)), (1, 1), "V{version}: {logs}");
    }
}

#[tokio::test]
async fn whoever_starts_waits_for_as_long_as_another_one_migrates() {
    let platform = Platform::new().await;
    let holder = TestCluster::get().admin(&platform.database.name).await;
    // The lock of the platform's set in the schema `public`.
    holder.run("select pg_advisory_lock(hashtextextended('public', 120299474518017))").await.unwrap();
    let port = free_port().await;
    let mut replica = platform.start("control_plane", port);
    let mut log = BufReader::new(replica.stderr.take().unwrap()).lines();
    let waits = async {
        while let Some(line) = log.next_line().await.unwrap() {
            if line.contains("somebody else, who is waited for") {
                return line;
            }
        }
        panic!("it has ended: {:?}", replica.wait().await);
    };
    let said = tokio::time::timeout(Duration::from_secs(60), waits).await.expect("it says whom it waits for");
    assert!(said.contains("pid "), "{said}");
    let drained = tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    drop(holder);
    until_ready(port, &mut replica).await;
    replica.kill().await.unwrap();
    drained.await.unwrap();
}

#[tokio::test]
async fn the_command_sees_brings_forward_and_takes_back() {
    let platform = Platform::new().await;
    let newest = Set::Platform.latest();
    let before = (newest - 1).to_string();
    assert_eq!(platform.migrate(&["undo", "--to", &before]).await.0, Some(0));
    let (_, status, _) = platform.migrate(&["status", "--json"]).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!((&status["version"], &status["newest_version"]), (&json!(newest - 1), &json!(newest)));
    assert_eq!(status["pending"][0]["version"], newest);
    let (_, status, _) = platform.migrate(&["status"]).await;
    assert!(status.contains(&format!("pending: V{newest}__")), "{status}");
    let (code, said, _) = platform.migrate(&["run"]).await;
    assert!(code == Some(0) && said.contains(&format!("saas_platform is at migration {newest}")), "{said}");
    let (code, said, _) = platform.migrate(&["run", "--json"]).await;
    assert_eq!((code, serde_json::from_str::<Value>(&said).unwrap()["steps"].clone()), (Some(0), json!([])));
}

#[tokio::test]
async fn who_brought_it_where_is_kept_and_shown() {
    let platform = Platform::new().await;
    let newest = Set::Platform.latest();
    let by = async |user: &str, arguments: &[&str]| {
        let mut command = Command::new(program("rowhouse"));
        command.args(["migrate", arguments[0], "platform"]).args(&arguments[1..]);
        command.arg("--settings").arg(platform.settings("control_plane", 0));
        command.env_remove("SUDO_USER").env("USER", user);
        said(command).await.0
    };
    let before = (newest - 1).to_string();
    assert_eq!(by("maud", &["undo", "--to", &before]).await, Some(0));
    platform.sql("create table schema_checks ()").await;
    assert_eq!(by("otto", &["run"]).await, Some(1), "its table is there");
    platform.sql("drop table schema_checks").await;
    assert_eq!(by("otto", &["run"]).await, Some(0));
    assert_eq!(by("maud", &["run"]).await, Some(0), "nothing is left to do, and nothing is recorded");

    let (_, status, _) = platform.migrate(&["status", "--json"]).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let changes: Vec<(String, &str, &str, u64)> = status["changes"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap();
            let who = text("operator").split_once('@').unwrap().0.to_owned();
            (
                who,
                text("action").trim_start_matches("platform_schema."),
                text("outcome"),
                one["target_version"].as_u64().unwrap(),
            )
        })
        .filter(|(who, ..)| ["maud", "otto"].contains(&who.as_str()))
        .collect();
    let (old, new) = (u64::from(newest) - 1, u64::from(newest));
    let change = |who: &str, what, outcome, target| (who.to_owned(), what, outcome, target);
    assert_eq!(
        changes,
        [
            change("maud", "begin", "success", old),
            change("maud", "end", "success", old),
            change("otto", "begin", "success", new),
            change("otto", "end", "failure", new),
            change("otto", "begin", "success", new),
            change("otto", "end", "success", new),
        ],
        "{status}"
    );
    let last = &status["changes"][0];
    assert!(last["steps"][0]["version"] == newest && last["steps"][0]["milliseconds"].is_u64(), "{last}");
    let (_, said, _) = platform.migrate(&["status"]).await;
    assert!(said.contains(&format!("from {new} to {old}: done in ")) && said.contains("42P07"), "{said}");
    // Nobody can deny it afterwards.
    let admin = TestCluster::get().admin(&platform.database.name).await;
    assert!(admin.run("delete from audit_logs where resource_type = 'platform_schema'").await.is_err());
}

#[tokio::test]
async fn a_plan_shows_what_would_be_sent_each_way() {
    let platform = Platform::new().await;
    let newest = Set::Platform.latest();
    let plan = async |arguments: &[&str]| -> Value {
        let (code, said, errors) = platform.migrate(&[&["plan", "--json"][..], arguments].concat()).await;
        assert_eq!(code, Some(0), "{errors}");
        serde_json::from_str(&said).unwrap()
    };
    assert_eq!(plan(&[]).await["migrations"], json!([]));
    let versions = |plan: &Value| -> Vec<u64> {
        plan["migrations"].as_array().unwrap().iter().map(|one| one["version"].as_u64().unwrap()).collect()
    };
    let before = u64::from(newest) - 2;
    let back = plan(&["--undo", "--to", &before.to_string()]).await;
    assert_eq!(versions(&back), [before + 2, before + 1], "the newest is taken back first: {back}");
    assert_eq!(platform.recorded(newest).await, 1, "a plan changes nothing");
    assert_eq!(platform.migrate(&["undo", "--to", &before.to_string()]).await.0, Some(0));
    let forward = plan(&[]).await;
    assert_eq!((versions(&forward), &forward["version"]), (vec![before + 1, before + 2], &json!(before)), "{forward}");
    let first = Set::Platform.migrations().find(newest - 1).unwrap();
    assert_eq!(forward["migrations"][0]["sql"], first.sql());
    assert_eq!(versions(&plan(&["--to", &(before + 1).to_string()]).await), [before + 1]);
    let (_, said, _) = platform.migrate(&["plan"]).await;
    assert!(said.contains(&format!("-- {first} (transactional)")) && said.contains(first.sql().trim_end()), "{said}");
    let (code, _, errors) = platform.migrate(&["plan", "--to", "99"]).await;
    assert!(code == Some(1) && errors.contains(&format!("at most {newest}")), "{errors}");
}

#[tokio::test]
async fn what_somebody_changed_by_hand_is_seen_and_brought_back() {
    let platform = Platform::new().await;
    let (code, _, errors) = platform.migrate(&["verify"]).await;
    assert_eq!(code, Some(0), "{errors}");
    platform.sql("drop index tenants_type_idx; alter table tenants add column nickname text").await;
    let (code, said, errors) = platform.migrate(&["verify", "--json"]).await;
    let seen: Value = serde_json::from_str(&said).unwrap();
    let names: Vec<&Value> = seen["differences"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(
        (code, &seen["state"], names),
        (Some(6), &json!("different"), vec![&json!("tenants.nickname"), &json!("tenants_type_idx")]),
        "{errors}"
    );
    let (code, said, _) = platform.migrate(&["verify"]).await;
    assert!(code == Some(6) && said.contains("index tenants_type_idx is missing"), "{said}");
    let (_, script, _) = platform.migrate(&["verify", "--repair-plan"]).await;
    assert!(script.contains(&format!("\\connect {:?}", platform.database.name)), "{script}");
    let made = script.lines().find(|line| line.contains("tenants_type_idx")).unwrap();
    platform.sql(&made.replace(" CONCURRENTLY", "").replace(" concurrently", "")).await;
    platform.sql("alter table tenants drop column nickname").await;
    assert_eq!(platform.migrate(&["verify"]).await.0, Some(0));
    let admin = TestCluster::get().admin("postgres").await;
    let left = "select from pg_database where datname like 'rowhouse_look_%'";
    // Those of other tests are dropped as well.
    crate::eventually(async || admin.query(left, &[]).await.unwrap().is_empty(), "what was compared with is left")
        .await;
}

#[tokio::test]
async fn it_is_brought_on_by_a_word_of_its_own() {
    let platform = Platform::new().await;
    let newest = Set::Platform.latest();
    assert_eq!(platform.migrate(&["down", "--to", &(newest - 1).to_string()]).await.0, Some(0));
    let mut command = Command::new(program("rowhouse"));
    command.args(["migrate", "platform", "--json", "--settings"]).arg(platform.settings("control_plane", 0));
    let (code, said, errors) = said(command).await;
    let report: Value = serde_json::from_str(&said).unwrap_or_default();
    assert_eq!((code, &report["version"]), (Some(0), &json!(newest)), "{errors}");
    assert_eq!(platform.recorded(newest).await, 1);
    assert_eq!(platform.migrate(&["down", "--to", &(newest - 1).to_string()]).await.0, Some(0));
    assert_eq!(platform.migrate(&["up"]).await.0, Some(0));
    assert_eq!(platform.recorded(newest).await, 1);
}

#[tokio::test]
async fn a_migration_is_drafted_from_a_changed_platform() {
    let platform = Platform::new().await;
    let root = tempfile::tempdir().unwrap();
    let files = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../platform-migrations");
    std::fs::create_dir_all(root.path().join("platform-migrations/undo")).unwrap();
    crate::copy(&files, &root.path().join("platform-migrations"));
    let draft = async || {
        let mut command = Command::new(program("rowhouse"));
        command.args(["migrate", "create", "platform", "add_nicknames", "--from-diff", &platform.database.name]);
        command.arg("--root").arg(root.path()).arg("--settings").arg(platform.settings("control_plane", 0));
        said(command).await
    };
    let (code, said, errors) = draft().await;
    assert!(code == Some(1) && errors.contains("nothing to draft"), "{said}{errors}");
    platform.sql("set role rowhouse_owner; alter table tenants add column nickname text").await;
    let (code, said, errors) = draft().await;
    assert_eq!(code, Some(0), "{said}{errors}");
    let next = Set::Platform.latest() + 1;
    let read = |name: &str| std::fs::read_to_string(root.path().join("platform-migrations").join(name)).unwrap();
    let forward = read(&format!("V{next}__add_nicknames.sql"));
    assert!(forward.contains("alter table tenants add column nickname text;\n"), "{forward}");
    let undo = read(&format!("undo/{next}__add_nicknames.sql"));
    assert!(undo.contains("alter table tenants drop column nickname;\n"), "{undo}");
}

#[tokio::test]
async fn a_changed_row_in_the_middle_of_its_history_is_seen() {
    let platform = Platform::new().await;
    platform.sql("update refinery_schema_history set checksum = '4711' where version = 2").await;
    let (code, said, errors) = platform.migrate(&["verify", "--json"]).await;
    let seen: Value = serde_json::from_str(&said).unwrap();
    let checksum = Set::Platform.migrations().find(2).unwrap().checksum();
    let one = &seen["differences"][0];
    assert_eq!(
        (code, &one["name"], &one["expected"], &one["found"]),
        (Some(6), &json!("V2"), &json!(format!("people, checksum {checksum}")), &json!("people, checksum 4711")),
        "{errors}"
    );
}

#[tokio::test]
async fn an_older_platform_is_held_against_its_own_version() {
    let platform = Platform::new().await;
    let before = (Set::Platform.latest() - 1).to_string();
    assert_eq!(platform.migrate(&["undo", "--to", &before]).await.0, Some(0));
    let (code, _, errors) = platform.migrate(&["verify"]).await;
    assert!(code == Some(0) && errors.contains(&format!("up to {before}")), "{errors}");
}

#[tokio::test]
async fn options_of_the_other_set_are_refused_by_name() {
    let platform = Platform::new().await;
    for (arguments, option) in [
        (["run", "--canary", "1%"], "--canary"),
        (["run", "--where", "type=trial"], "--where"),
        (["plan", "--batch", "5"], "--batch"),
        (["plan", "--limit", "5"], "--limit"),
        (["verify", "--where", "type=trial"], "--where"),
        (["status", "--key", "x"], "--key"),
    ] {
        let (code, _, errors) = platform.migrate(&arguments).await;
        let expected = format!("`{option}` means nothing for `rowhouse migrate {} platform`", arguments[0]);
        assert!(code == Some(2) && errors.contains(&expected), "{arguments:?}: {errors}");
    }
    for set in [&["tenant"][..], &[]] {
        let mut command = Command::new(program("rowhouse"));
        command.args(["migrate", "status"]).args(set).args(["--settings", "/nowhere"]);
        let (code, _, errors) = said(command).await;
        assert!(code == Some(2) && errors.contains("`--settings` means nothing"), "{errors}");
    }
    // What the environment has for other commands is none of this one's.
    let mut command = Command::new(program("rowhouse"));
    command.args(["migrate", "status", "platform", "--settings"]).arg(platform.settings("control_plane", 0));
    command.env("ROWHOUSE_KEY", "x");
    assert_eq!(said(command).await.0, Some(0));
}

#[tokio::test]
async fn services_refuse_a_schema_that_is_too_old_in_one_line() {
    let platform = Platform::new().await;
    let newest = Set::Platform.latest();
    let (older, expected) = (newest - 1, format!("saas_platform is at migration {}; this release needs", newest - 1));
    assert_eq!(platform.migrate(&["undo", "--to", &older.to_string()]).await.0, Some(0));
    let said_by_data_plane = last_words(platform.start("data_plane", free_port().await)).await;
    assert!(said_by_data_plane.contains(&expected), "{said_by_data_plane}");
    // A control plane would bring it forward; those that only use it refuse.
    for mode in ["--check", "migration-worker"] {
        let mut command = Command::new(program("control-plane"));
        command.arg("--settings").arg(platform.settings("control_plane", 0)).arg(mode);
        let (code, _, errors) = said(command).await;
        let last = errors.lines().last().unwrap_or_default();
        assert!(code == Some(1) && last.contains(&expected), "{mode}: {errors}");
    }
}

#[tokio::test]
async fn services_serve_from_a_newer_schema_only_where_it_says_so() {
    let platform = Platform::new().await;
    let newest = Set::Platform.latest();
    let future = "insert into refinery_schema_history values (99, 'later', to_char(now(), 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '1')";
    platform.sql(future).await;
    for service in ["control_plane", "data_plane"] {
        let port = free_port().await;
        let mut child = platform.start(service, port);
        until_ready(port, &mut child).await;
        log_of(child).await;
    }
    let later = format!(
        "create or replace function platform_serves_from() returns integer language sql immutable parallel safe return {}",
        newest + 1
    );
    platform.sql(&later).await;
    for service in ["control_plane", "data_plane"] {
        let said = last_words(platform.start(service, free_port().await)).await;
        let expected = format!("saas_platform is at migration 99 and serves releases from {} on", newest + 1);
        assert!(said.contains(&expected), "{service}: {said}");
    }
}

#[tokio::test]
async fn a_webhook_that_can_not_be_used_is_refused_at_the_start_without_repeating_the_secret() {
    let platform = Platform::new().await;
    for (url, secret, key) in [
        ("ftp://example.org/hook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "webhook_url"),
        ("https://example.org/hook", "too short to tell", "webhook_secret"),
    ] {
        let mut command = Command::new(program("control-plane"));
        command.arg("--settings").arg(platform.settings("control_plane", 0)).arg("--check");
        command.envs([("ROWHOUSE__MIGRATIONS__WEBHOOK_URL", url), ("ROWHOUSE__MIGRATIONS__WEBHOOK_SECRET", secret)]);
        let (code, _, errors) = said(command).await;
        assert!(code == Some(1) && errors.contains(&format!("migrations.{key}")), "{errors}");
        assert!(!errors.contains(secret), "{errors}");
    }
}
