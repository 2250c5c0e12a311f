//! A PgBouncer between the data plane and a test cluster.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rowhouse_local_postgres::PgBouncer as Installed;
use rowhouse_settings::{Pooler, Tls};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::cluster::{TestCluster, block_on};
use crate::process::free_port;

/// Who looks up the passwords of those who log in. PgBouncer asks in the database that is logged in to, which only the
/// tenant's own login and superusers may open.
const LOOKUP: &str = "pgbouncer_lookup";
const LOOKUP_PASSWORD: &str = "lookup-for-tests";
/// Ends with whoever started it, however that ends: then the pipe that is read here closes.
const GUARD: &str = r#""$@" & pid=$!; read -r _; kill -INT "$pid"; wait "$pid""#;
const PATIENCE: Duration = Duration::from_secs(20);

/// A running PgBouncer; it ends with this value.
pub struct PgBouncer {
    stands_before: u16,
    port: u16,
    guard: Child,
    _folder: TempDir,
}

impl PgBouncer {
    /// The one that stands before the cluster of this test process, started at the first call.
    ///
    /// # Panics
    /// Where PgBouncer is missing or does not start.
    pub fn get() -> &'static Self {
        static PGBOUNCER: OnceLock<PgBouncer> = OnceLock::new();
        PGBOUNCER.get_or_init(|| {
            std::thread::spawn(|| block_on(Self::before(TestCluster::get()))).join().expect("PgBouncer starts")
        })
    }

    /// One before a cluster: in transaction mode where it keeps named statements there, else in session mode.
    ///
    /// # Panics
    /// Where PgBouncer is missing or does not start.
    pub async fn before(cluster: &TestCluster) -> Self {
        let installed = Installed::find().expect("run `cargo xtask setup --pgbouncer` to install PgBouncer");
        let admin = cluster.admin("postgres").await;
        let role = format!(
            "do $$ begin
                 create role {LOOKUP} superuser login password '{LOOKUP_PASSWORD}';
             exception when duplicate_object then null; end $$"
        );
        admin.run(&role).await.expect("a role can be made");
        // The account that it runs as must be able to read it.
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let users = folder.path().join("users.txt");
        std::fs::write(&users, format!("\"{LOOKUP}\" \"{LOOKUP_PASSWORD}\"\n")).expect("a file can be written");
        let port = free_port();
        let mode = if installed.keeps_statements() { "transaction\nmax_prepared_statements = 200" } else { "session" };
        let settings = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={server} auth_user={LOOKUP}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {users}\n\
             auth_query = select rolname, case when rolvaliduntil < pg_catalog.now() then null else rolpassword end \
                 from pg_catalog.pg_authid where rolname = $1 and rolcanlogin\n\
             pool_mode = {mode}\ndefault_pool_size = 20\nmax_client_conn = 2000\n\
             server_reset_query = discard all\nserver_idle_timeout = 1\n\
             ignore_startup_parameters = extra_float_digits\n",
            server = cluster.port(),
            users = users.display(),
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("a file can be written");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GUARD, "pgbouncer-guard"]).arg(installed.program()).arg("--quiet");
        if rustix::process::geteuid().is_root() {
            // It refuses to be root.
            command.args(["--user", "nobody"]);
        }
        command.arg(&file).process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let guard = command.spawn().expect("/bin/sh starts");
        let this = Self { stands_before: cluster.port(), port, guard, _folder: folder };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "PgBouncer does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        this
    }

    /// What has the data plane go through it: an entry of `pools.through`.
    pub fn pooler(&self) -> Pooler {
        Pooler {
            server: format!("127.0.0.1:{}", self.stands_before),
            host: "127.0.0.1".to_owned(),
            port: self.port,
            tls: Tls::Disable,
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // The guard ends it when this closes.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
