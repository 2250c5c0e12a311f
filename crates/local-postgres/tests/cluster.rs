//! Private clusters on a real server: what survives, what is refused, what cleans up after itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rowhouse_local_postgres::{AlreadyRunning, Cluster, Durability, Error, Installation, Options, default_tmpfs};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage};

fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("rowhouse-local-postgres-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(default_tmpfs())
        .unwrap()
}

/// Kept between starts, and quick all the same.
fn quick(folder: &Path) -> Options {
    Options { settings: vec![("fsync".to_owned(), "off".to_owned())], ..Options::durable(folder.join("cluster")) }
}

async fn start(options: Options) -> Result<Cluster, Error> {
    Cluster::start(&Installation::find().unwrap(), options).await
}

async fn run(cluster: &Cluster, sql: &str) -> Option<String> {
    let (client, connection) = cluster.superuser_config().connect(NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let messages = client.simple_query(sql).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    messages.into_iter().find_map(|message| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        row.get(0).map(String::from)
    })
}

async fn gone(path: &Path) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while path.exists() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    !path.exists()
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_stop_and_a_start() {
    let folder = folder();
    let cluster = start(quick(folder.path())).await.unwrap();
    assert!(cluster.was_created());
    run(&cluster, "create table houses as select 12 as number").await;
    assert_eq!(run(&cluster, "show listen_addresses").await.unwrap(), "127.0.0.1");
    assert_eq!(run(&cluster, "show server_encoding").await.unwrap(), "UTF8");
    cluster.stop().await.unwrap();
    let cluster = start(quick(folder.path())).await.unwrap();
    assert!(!cluster.was_created());
    assert_eq!(run(&cluster, "select number from houses").await.unwrap(), "12");
    cluster.destroy().await.unwrap();
    assert!(!folder.path().join("cluster").exists());
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let folder = folder();
    let cluster = start(quick(folder.path())).await.unwrap();
    let error = cluster.superuser_config().password("guess").connect(NoTls).await.err().unwrap();
    assert_eq!(error.code().unwrap().code(), "28P01");
    cluster.destroy().await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_killed_starts_again() {
    let folder = folder();
    let cluster = start(quick(folder.path())).await.unwrap();
    run(&cluster, "create table houses as select 12 as number").await;
    kill(cluster.pid());
    cluster.detach();
    let cluster = start(quick(folder.path())).await.unwrap();
    assert_eq!(run(&cluster, "select number from houses").await.unwrap(), "12");
    cluster.destroy().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_that_names_another_living_program_does_not_hinder() {
    let folder = folder();
    let cluster = start(quick(folder.path())).await.unwrap();
    let pid_file = cluster.pgdata().join("postmaster.pid");
    let text = fs::read_to_string(&pid_file).unwrap();
    cluster.stop().await.unwrap();
    // Of the server's own account: only of those does the server itself believe that they live.
    let account = fs::metadata(&pid_file).or_else(|_| fs::metadata(folder.path().join("cluster/data"))).unwrap();
    let mut bystander = Command::new("sleep").arg("60").uid(account.uid()).gid(account.gid()).spawn().unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(&pid_file, format!("{}\n{rest}", bystander.id())).unwrap();
    let cluster = start(quick(folder.path())).await.unwrap();
    assert!(cluster.is_running());
    cluster.destroy().await.unwrap();
    assert!(bystander.try_wait().unwrap().is_none(), "the bystander was left alone");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[tokio::test]
async fn a_running_server_is_adopted_or_restarted_as_asked() {
    let folder = folder();
    let first = start(quick(folder.path())).await.unwrap();
    let pid = first.pid();
    first.detach();
    let adopted = start(Options { already_running: AlreadyRunning::Adopt, ..quick(folder.path()) }).await.unwrap();
    assert!(adopted.was_adopted());
    assert_eq!(adopted.pid(), pid);
    adopted.detach();
    let restarted = start(quick(folder.path())).await.unwrap();
    assert!(!restarted.was_adopted());
    assert_ne!(restarted.pid(), pid);
    restarted.destroy().await.unwrap();
}

#[tokio::test]
async fn a_folder_of_somebody_elses_is_not_touched() {
    let folder = folder();
    let theirs = folder.path().join("cluster");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("PG_VERSION"), "15\n").unwrap();
    let error = start(quick(folder.path())).await.unwrap_err();
    assert!(matches!(error, Error::ForeignDirectory(_)), "{error}");
    let error = Cluster::delete_at(&theirs).await.unwrap_err();
    assert!(matches!(error, Error::ForeignDirectory(_)), "{error}");
    let names: Vec<_> = fs::read_dir(&theirs).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["PG_VERSION"]);
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused() {
    let folder = folder();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = start(Options { port, ..quick(folder.path()) }).await.unwrap_err();
    assert!(matches!(error, Error::PortTaken(taken) if taken == port), "{error}");
}

#[tokio::test]
async fn a_setting_that_the_server_refuses_is_told_from_its_log() {
    let folder = folder();
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let error = start(Options { settings, ..quick(folder.path()) }).await.unwrap_err();
    assert!(error.to_string().contains("unrecognized configuration parameter"), "{error}");
}

#[tokio::test]
async fn a_throwaway_cluster_goes_when_it_is_dropped() {
    let folder = folder();
    let cluster = start(Options::throwaway(folder.path().join("cluster"))).await.unwrap();
    let pid = cluster.pid();
    assert_eq!(run(&cluster, "show fsync").await.unwrap(), "off");
    drop(cluster);
    assert!(!folder.path().join("cluster").exists());
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test]
async fn a_throwaway_cluster_goes_when_its_owner_is_killed() {
    let folder = folder();
    let home = folder.path().join("cluster");
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner_to_be_killed", "--ignored"])
        .env("ROWHOUSE_TEST_CLUSTER", &home)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !folder.path().join("ready").exists() {
        assert!(Instant::now() < deadline, "the other process started its cluster");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(gone(&home).await);
}

#[tokio::test]
#[ignore = "the other process of the test above"]
async fn owner_to_be_killed() {
    let home = PathBuf::from(std::env::var_os("ROWHOUSE_TEST_CLUSTER").unwrap());
    let cluster = start(Options::throwaway(&home)).await.unwrap();
    fs::write(home.parent().unwrap().join("ready"), "").unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    drop(cluster);
}

#[tokio::test]
async fn a_folder_that_the_servers_account_cannot_enter_gets_its_data_elsewhere() {
    let folder = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let options = Options { durability: Durability::Durable, ..quick(folder.path()) };
    let cluster = start(options).await.unwrap();
    let outside = cluster.pgdata().parent().unwrap().to_path_buf();
    assert_eq!(outside.starts_with("/var/tmp"), rustix::process::geteuid().is_root());
    cluster.stop().await.unwrap();
    // The clone was deleted, its data stayed: a new cluster of the same folder starts from nothing.
    fs::remove_dir_all(folder.path().join("cluster")).unwrap();
    let cluster = start(quick(folder.path())).await.unwrap();
    assert!(cluster.was_created());
    cluster.destroy().await.unwrap();
    assert!(!outside.exists());
}
