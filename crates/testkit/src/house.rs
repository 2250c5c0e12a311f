//! Both services, as in production but for the ports, on a `saas_platform` of the test's own.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use config::Environment;
use rowhouse_control_plane::Signals;
use rowhouse_database::{AdminConnection, ServerAddress, Tls, quote_ident};
use rowhouse_domain::{RateLimit, TenantId};
use rowhouse_settings::{RateLimits, Settings};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::client::Client;
use crate::cluster::{CONTROL_PASSWORD, DATA_PASSWORD, FURTHER_CONTROL_PASSWORD, TestCluster, block_on};
use crate::databases::{clone_platform, master_key};
use crate::janitor::{Leftover, dispose};

/// How long a figure may take to become what it should be.
const PATIENCE: Duration = Duration::from_secs(60);

/// A control plane and a data plane.
pub struct TestHouse {
    /// The control plane with a platform admin's key.
    pub admin: Client,
    /// The data plane without a key.
    pub data: Client,
    /// The data plane's admin port.
    pub data_admin: Client,
    /// The address of the S3-compatible door, where the settings open it.
    pub s3: Option<String>,
    /// The name of this house's `saas_platform`.
    pub platform: String,
    /// The superuser of the server that holds it.
    server: ServerAddress,
    blobs: TempDir,
    /// Dropped with the house: the services stop then.
    _stop: oneshot::Sender<()>,
}

/// What the services' thread says when they listen.
struct Listening {
    control_port: u16,
    data_port: u16,
    data_admin_port: u16,
    s3_port: Option<u16>,
    admin_key: String,
}

impl TestHouse {
    /// Starts both services.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts both services with other settings than the defaults.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_at(TestCluster::get(), clone_platform().await, change).await
    }

    /// The same with its `saas_platform` on a server of the test's own, which may be killed; it goes with that.
    pub async fn start_on(cluster: &TestCluster, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_at(cluster, "saas_platform".to_owned(), change).await
    }

    async fn start_at(cluster: &TestCluster, platform: String, change: impl FnOnce(&mut Settings)) -> Self {
        let blobs = TempDir::new().expect("a temporary folder can be made");
        let mut settings = settings(cluster.port(), &platform, blobs.path());
        change(&mut settings);
        let (stop, stopped) = oneshot::channel();
        let (ready, listening) = channel();
        // A thread with a runtime of its own: a test that blocks does not block the services.
        std::thread::spawn(move || block_on(serve(settings, ready, stopped)));
        let listening = tokio::task::spawn_blocking(move || listening.recv())
            .await
            .expect("the waiting thread lives")
            .expect("the services start; the panic above says why not");
        let url = |port| format!("http://127.0.0.1:{port}");
        Self {
            admin: Client::new(&url(listening.control_port), Some(&listening.admin_key)),
            data: Client::new(&url(listening.data_port), None),
            data_admin: Client::new(&url(listening.data_admin_port), None),
            s3: listening.s3_port.map(url),
            platform,
            server: cluster.superuser(),
            blobs,
            _stop: stop,
        }
    }

    /// Makes an organization and gives its id.
    pub async fn organization(&self) -> String {
        let email = format!("{}@example.org", Uuid::now_v7().simple());
        self.admin.post("/v1/organizations", &json!({"name": "Acme", "email": email})).await.expect(201).text("id")
    }

    /// Registers a further test cluster under a name, its password sealed, and gives its id.
    pub async fn register(&self, name: &str, cluster: &TestCluster) -> String {
        self.register_at(name, cluster.port()).await
    }

    /// The same where something else stands before it.
    pub async fn register_at(&self, name: &str, port: u16) -> String {
        let body = json!({"name": name, "host": "127.0.0.1", "port": port, "tls": "disable",
            "password": FURTHER_CONTROL_PASSWORD});
        self.admin.post("/v1/clusters", &body).await.expect(201).text("id")
    }

    /// Adds an active owner to an organization and gives the member's id.
    pub async fn owner(&self, organization: &str, name: &str) -> String {
        let email = format!("{name}@example.org");
        let body = json!({"email": email, "role": "owner"});
        let path = format!("/v1/organizations/{organization}/members");
        let member = self.admin.post(&path, &body).await.expect(201).text("id");
        // Accepting an invitation takes a person who signs in, which a key is not.
        self.sql(&format!(
            "with person as (
                 insert into users (email, first_name, last_name) values ('{email}', '{name}', 'x')
                 on conflict (lower(email)) do update set last_name = 'x' returning id)
             update org_members set status = 'active', user_id = (select id from person), accepted_at = clock_timestamp(),
                 joined_at = clock_timestamp() where email = '{email}'"
        ))
        .await;
        member
    }

    /// Makes an organization with a tenant, a key for it and a workspace.
    pub async fn tenant(&self) -> Given {
        let organization = self.organization().await;
        let path = format!("/v1/organizations/{organization}/tenants");
        let tenant = self.admin.post(&path, &json!({"name": "acme"})).await.expect(201).text("id");
        let data = self.tenant_key(&tenant, &["read_files", "write_files", "manage_workspaces", "read_usage"]).await;
        let workspace = data.post("/v1/workspaces", &json!({"name": "Documents"})).await.expect(201).text("id");
        Given { organization, tenant, data, workspace, _house: None }
    }

    /// The same, where the test needs nothing else of the house.
    pub async fn into_tenant(self) -> Given {
        let given = self.tenant().await;
        Given { _house: Some(self), ..given }
    }

    /// The control plane as the holder of an organization's key.
    pub async fn organization_key(&self, organization: &str, scopes: &[&str]) -> Client {
        self.key(&self.admin, &format!("/v1/organizations/{organization}/api-keys"), scopes).await
    }

    /// The data plane as the holder of a tenant's key.
    pub async fn tenant_key(&self, tenant: &str, scopes: &[&str]) -> Client {
        self.key(&self.data, &format!("/v1/tenants/{tenant}/api-keys"), scopes).await
    }

    async fn key(&self, service: &Client, path: &str, scopes: &[&str]) -> Client {
        let made = self.admin.post(path, &json!({"name": "test", "scopes": scopes})).await.expect(201);
        service.with_key(&made.text("key"))
    }

    /// Runs statements in `saas_platform` as superuser.
    ///
    /// # Panics
    /// Where they fail.
    pub async fn sql(&self, sql: &str) {
        let connection = self.superuser(&self.platform).await;
        connection.run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The rows of a query in `saas_platform`.
    ///
    /// # Panics
    /// Where it fails.
    pub async fn rows(&self, sql: &str) -> Vec<Row> {
        let connection = self.superuser(&self.platform).await;
        connection.query(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// The tenant's own schema as superuser, pinned to the tenant.
    pub async fn inside(&self, given: &Given) -> AdminConnection {
        let id = given.tenant.parse::<TenantId>().expect("the tenant's id can be read").as_uuid();
        let rows = self.rows(&format!("select database_name, schema_name from tenants where id = '{id}'")).await;
        let text = |column: usize| rows[0].try_get::<_, String>(column).expect("a placement is text");
        let inside = self.superuser(&text(0)).await;
        let enter = format!("set search_path = {}, extensions, pg_temp; set app.tenant_id = '{id}'", text(1));
        inside.run(&enter).await.expect("the tenant's schema is there");
        inside
    }

    /// The rows of a statement in a tenant's own data, as superuser.
    ///
    /// # Panics
    /// Where it fails.
    pub async fn tenant_rows(&self, given: &Given, sql: &str) -> Vec<Row> {
        self.inside(given).await.query(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// A superuser's connection to a database of the server that holds `saas_platform`.
    async fn superuser(&self, database: &str) -> AdminConnection {
        AdminConnection::open(&self.server, database, &Tls::Disabled)
            .await
            .unwrap_or_else(|error| panic!("connecting to {database}: {}", error.chain()))
    }

    /// Where the server listens that holds `saas_platform`.
    pub(crate) fn port(&self) -> u16 {
        self.server.port
    }

    async fn number(&self, sql: &str) -> i64 {
        self.rows(sql).await[0].try_get(0).expect("the only column is a number")
    }

    async fn expect_number(&self, what: &str, sql: &str, expected: i64, patience: Duration) {
        let begun = Instant::now();
        loop {
            let found = self.number(sql).await;
            if found == expected {
                return;
            }
            assert!(begun.elapsed() < patience, "{what}: {found} instead of {expected}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits until a query of `saas_platform` gives a number.
    ///
    /// # Panics
    /// Where it does not in time.
    pub async fn expect_figure(&self, sql: &str, expected: i64) {
        self.expect_number(sql, sql, expected, PATIENCE).await;
    }

    /// Waits until all organizations, and all tenants, have this much reserved.
    pub async fn expect_reserved(&self, bytes: i64) {
        self.expect_reserved_within(bytes, PATIENCE).await;
    }

    /// The same with more patience.
    pub async fn expect_reserved_within(&self, bytes: i64, patience: Duration) {
        for table in ["organizations", "tenants"] {
            let sql = format!("select sum(reserved_storage)::bigint from {table}");
            self.expect_number(&format!("reserved in {table}"), &sql, bytes, patience).await;
        }
    }

    /// Waits until all organizations, and all tenants, use this much.
    pub async fn expect_used(&self, bytes: i64) {
        for table in ["organizations", "tenants"] {
            let sql = format!("select sum(used_storage)::bigint from {table}");
            self.expect_number(&format!("used in {table}"), &sql, bytes, PATIENCE).await;
        }
    }

    /// What the doctor finds, repaired where it may be if `fix` says so.
    pub async fn differences(&self, fix: bool) -> Vec<Value> {
        let report = self.examine(&json!({"fix": fix})).await;
        report["findings"].as_array().cloned().unwrap_or_default()
    }

    /// What the doctor reports.
    ///
    /// # Panics
    /// Where it does not come to its end.
    pub async fn examine(&self, what: &Value) -> Value {
        let request = self.admin.request(reqwest::Method::POST, "/v1/doctor").header("prefer", "wait=60");
        let report = crate::client::Answer::of(request.json(what)).await.expect(200).json();
        assert!(report["findings"].is_array(), "the doctor did not come to its end: {report}");
        report
    }

    /// Asserts that what is recorded is what is there, of everybody.
    ///
    /// # Panics
    /// Where the doctor finds a difference, or nobody comes to rest.
    pub async fn expect_no_differences(&self) {
        let begun = Instant::now();
        loop {
            let report = self.examine(&json!({"fix": false})).await;
            assert_eq!(report["findings"], json!([]), "{report:#}");
            if report["left_out"] == json!([]) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "nobody comes to rest: {report:#}");
        }
    }

    /// The folder that contents are kept in.
    pub fn blob_root(&self) -> PathBuf {
        self.blobs.path().join("blobs")
    }

    fn objects(&self) -> Vec<PathBuf> {
        let (mut found, mut folders) = (Vec::new(), vec![self.blob_root()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found
    }

    /// How many objects the store holds, also unfinished ones.
    pub fn stored_objects(&self) -> usize {
        self.objects().len()
    }

    /// Waits until the store holds this many objects.
    ///
    /// # Panics
    /// Where it does not come to that.
    pub async fn expect_stored_objects(&self, expected: usize) {
        let begun = Instant::now();
        while self.stored_objects() != expected {
            assert!(begun.elapsed() < PATIENCE, "{} objects instead of {expected}", self.stored_objects());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// What every object holds.
    ///
    /// # Panics
    /// Where a file can't be read.
    pub fn object_bytes(&self) -> Vec<Vec<u8>> {
        self.objects().into_iter().map(|object| std::fs::read(object).expect("an object can be read")).collect()
    }

    /// Changes every object behind the services' backs.
    ///
    /// # Panics
    /// Where a file can't be read or written.
    pub fn change_objects(&self, change: impl Fn(&mut Vec<u8>)) {
        for object in self.objects() {
            let mut bytes = std::fs::read(&object).expect("an object can be read");
            change(&mut bytes);
            std::fs::write(object, bytes).expect("an object can be written");
        }
    }

    /// Deletes the objects that hold such bytes behind the services' backs, and has something else put in their places.
    ///
    /// # Panics
    /// Where a file can't be read or deleted.
    pub fn replace_objects_that(&self, are_lost: impl Fn(&[u8]) -> bool, replace: impl Fn(&Path)) {
        for object in self.objects() {
            if are_lost(&std::fs::read(&object).expect("an object can be read")) {
                std::fs::remove_file(&object).expect("an object can be deleted");
                replace(&object);
            }
        }
    }

    /// Deletes every object behind the services' backs.
    ///
    /// # Panics
    /// Where a file can't be deleted.
    pub fn lose_objects(&self) {
        self.lose_objects_that(|_| true);
    }

    /// Deletes the objects that hold such bytes behind the services' backs.
    ///
    /// # Panics
    /// Where a file can't be read or deleted.
    pub fn lose_objects_that(&self, are_lost: impl Fn(&[u8]) -> bool) {
        self.replace_objects_that(are_lost, |_| {});
    }

    /// Closes this house's `saas_platform` to everyone and ends all sessions in it.
    pub async fn lock_out(&self) {
        self.close_database(&self.platform).await;
    }

    /// Opens it again.
    pub async fn let_in(&self) {
        let name = quote_ident(&self.platform);
        let admin = self.superuser("postgres").await;
        admin.run(&format!("alter database {name} allow_connections true")).await.expect("the database is opened");
    }

    /// Closes a tenant's database to everyone and ends all sessions in it.
    pub async fn close_database_of(&self, given: &Given) {
        let tenant = given.tenant.parse::<rowhouse_domain::TenantId>().expect("ids of ours can be read").as_uuid();
        let rows = self.rows(&format!("select database_name from tenants where id = '{tenant}'")).await;
        let database: String = rows[0].try_get(0).expect("an active tenant has a database");
        self.close_database(&database).await;
    }

    async fn close_database(&self, database: &str) {
        let admin = self.superuser("postgres").await;
        let close = format!("alter database {} allow_connections false", quote_ident(database));
        admin.run(&close).await.expect("the database is closed");
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
        admin.query(end, &[&database]).await.expect("the sessions are ended");
    }
}

impl Drop for TestHouse {
    fn drop(&mut self) {
        // A server of the test's own takes it along.
        if self.port() == TestCluster::get().port() {
            dispose(Leftover::Platform(self.platform.clone()));
        }
    }
}

/// A tenant with a key and a workspace.
pub struct Given {
    /// The organization's id.
    pub organization: String,
    /// The tenant's id.
    pub tenant: String,
    /// The data plane with a key that has every scope of a tenant.
    pub data: Client,
    /// A workspace's id.
    pub workspace: String,
    /// Kept running where nobody else does.
    _house: Option<TestHouse>,
}

impl Given {
    /// Uploads a file into the workspace, its name percent-encoded, and gives its id.
    pub async fn upload(&self, name: &str, content: impl Into<reqwest::Body>) -> String {
        let path = format!("/v1/files?workspace_id={}&name={name}", self.workspace);
        self.data.upload(&path, content).await.expect(201).text("id")
    }

    /// Makes a folder in the workspace and gives its id.
    pub async fn folder(&self, name: &str, parent: Option<&str>) -> String {
        let mut body = json!({"workspace_id": self.workspace, "name": name});
        if let Some(parent) = parent {
            body["parent_id"] = Value::from(parent);
        }
        self.data.post("/v1/folders", &body).await.expect(201).text("id")
    }
}

/// The shipped defaults, with what a test needs to be quick and apart from others.
fn settings(port: u16, platform: &str, folder: &Path) -> Settings {
    // Not this process's environment: a developer's own settings are none of a test's.
    let secrets = [("PLATFORM__PASSWORD", "set below"), ("KEYS__MASTER_KEY", "set below")];
    let source = secrets.map(|(key, value)| (format!("ROWHOUSE__{key}"), value.to_owned())).into_iter().collect();
    let environment = Environment::with_prefix("ROWHOUSE").prefix_separator("__").separator("__").source(Some(source));
    let mut settings = rowhouse_settings::load_from(None, environment).expect("the shipped defaults can be loaded");
    settings.platform.port = port;
    settings.platform.database = platform.to_owned();
    settings.platform.max_connections = 4;
    settings.keys.master_key = master_key().to_text();
    settings.pools.cluster_budget = 8;
    settings.pools.per_tenant = 4;
    settings.admin.port = 0;
    settings.s3.port = 0;
    // All tests' requests come from one address, and a tenant's as fast as they can.
    settings.rate_limits = RateLimits::all(RateLimit::NONE);
    // Generous, because a loaded machine is slow and none of this is what tests are about.
    settings.provisioning.wait = Duration::from_secs(60);
    settings.platform.checkout_timeout = Duration::from_secs(30);
    settings.platform.connect_timeout = Duration::from_secs(15);
    settings.pools.checkout_timeout = Duration::from_secs(30);
    settings.pools.connect_timeout = Duration::from_secs(15);
    // What is reserved is what tests expect to the byte: blocks are leased by those only that are about them.
    settings.quota.largest_block = 0;
    // A stock is kept by those tests only that are about it.
    settings.provisioning.stock = 0;
    // Nor are schemas compared but where a test asks for it, or has migrated them.
    settings.migrations.verify_every = Duration::ZERO;
    settings.provisioning.poll = Duration::from_millis(200);
    settings.work.poll = Duration::from_millis(200);
    settings.work.extractor = program("data-plane");
    settings.blobs.root = folder.join("blobs");
    settings.usage.journal = folder.join("usage");
    for server in [&mut settings.control_plane, &mut settings.data_plane] {
        server.port = 0;
        server.workers = 1;
    }
    settings
}

/// A program of this workspace, beside the folder that the tests are in.
///
/// # Panics
/// Where it was not built.
pub fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("the system says where this program is");
    let program = tests.ancestors().nth(2).expect("tests lie in `deps`").join(name);
    assert!(program.exists(), "{} is missing: run `cargo build --workspace --bins` first", program.display());
    program
}

async fn serve(settings: Settings, ready: Sender<Listening>, stopped: oneshot::Receiver<()>) {
    let mut control = settings.clone();
    control.platform.password = SecretString::from(CONTROL_PASSWORD);
    let control = rowhouse_control_plane::Application::build(control, Signals::Ignored)
        .await
        .unwrap_or_else(|error| panic!("the control plane starts: {}", error.chain()));
    let mut data = settings;
    data.platform.password = SecretString::from(DATA_PASSWORD);
    let data = rowhouse_data_plane::Application::build(data, rowhouse_data_plane::Signals::Ignored)
        .await
        .unwrap_or_else(|error| panic!("the data plane starts: {}", error.chain()));
    let admin_key = control
        .issue_admin_key("tests")
        .await
        .unwrap_or_else(|error| panic!("an admin key is issued: {}", error.chain()));
    let listening = Listening {
        control_port: control.port(),
        data_port: data.port(),
        data_admin_port: data.admin_port(),
        s3_port: data.s3_port(),
        admin_key: admin_key.reveal().to_owned(),
    };
    let (control_handle, data_handle) = (control.stop_handle(), data.stop_handle());
    let control = tokio::spawn(control.run_until_stopped());
    let data = tokio::spawn(data.run_until_stopped());
    // Gone where the test has given up meanwhile.
    let _ = ready.send(listening);
    let _ = stopped.await;
    tokio::join!(control_handle.stop(), data_handle.stop());
    let _ = tokio::join!(control, data);
}
