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

    /// `rowhouse migrate platform …`: its exit code, and what it says.
    async fn migrate(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(program("rowhouse"));
        command.args(["migrate", "platform"]).args(arguments);
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
    for version in 7..=newest {
        assert_eq!((platform.recorded(version).await, applied(version)), (1, 1), "V{version}: {logs}");
    }
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
