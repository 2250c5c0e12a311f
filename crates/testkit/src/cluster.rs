//! One throwaway cluster a test process, in memory where there is room, with its templates; a second one for those who ask
//! for it, and private ones for those who break them. What is committed there outlives the server, however it ends.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rowhouse_database::{AdminConnection, BootstrapPasswords, Purpose, ServerAddress, Tls, bootstrap, quote_ident};
use rowhouse_local_postgres::{Cluster, Installation, Options, default_tmpfs};
use rowhouse_settings as settings;
use secrecy::SecretString;

use crate::processes::{self, Frozen};

/// Password of `rowhouse_control` on every test cluster.
pub const CONTROL_PASSWORD: &str = "control-for-tests";
/// Password of `rowhouse_data` on every test cluster.
pub const DATA_PASSWORD: &str = "data-for-tests";
/// Password of `rowhouse_control` on further clusters: another one, so that it matters which is used.
pub const FURTHER_CONTROL_PASSWORD: &str = "control-on-a-further-cluster";
/// A migrated `saas_platform` that tests clone.
pub(crate) const PLATFORM_TEMPLATE: &str = "rowhouse_test_platform";
/// A migrated tenant database that tests clone.
pub(crate) const TENANT_TEMPLATE: &str = "rowhouse_test_tenant";
/// Sessions that a private cluster lets in.
const ROOM: u16 = 100;

/// The cluster of this test process.
pub struct TestCluster {
    cluster: Cluster,
    folder: PathBuf,
    control_password: &'static str,
}

static SECOND: OnceLock<TestCluster> = OnceLock::new();

/// A private cluster whose server was stopped; its files go with this value.
pub struct StoppedCluster {
    folder: PathBuf,
    port: u16,
    control_password: &'static str,
}

impl TestCluster {
    /// The cluster, started and prepared at the first call.
    ///
    /// # Panics
    /// Where PostgreSQL is missing or does not start: there is nothing to test then.
    pub fn get() -> &'static Self {
        static CLUSTER: OnceLock<TestCluster> = OnceLock::new();
        CLUSTER.get_or_init(|| {
            // Tests have runtimes of their own; the cluster must not hang on the first one's.
            std::thread::spawn(|| block_on(Self::start())).join().expect("the test cluster starts")
        })
    }

    /// Another cluster, without a `saas_platform`, shared by the tests of this process; started at the first call.
    ///
    /// # Panics
    /// Where PostgreSQL does not start.
    pub fn second() -> &'static Self {
        SECOND.get_or_init(|| {
            std::thread::spawn(|| block_on(Self::private())).join().expect("the second test cluster starts")
        })
    }

    /// The second cluster, where somebody asked for it.
    pub(crate) fn second_if_started() -> Option<&'static Self> {
        SECOND.get()
    }

    /// A small cluster of a test's own, bootstrapped for tenants only and gone with this value.
    ///
    /// # Panics
    /// Where PostgreSQL does not start.
    pub async fn private() -> Self {
        let this = Self::unprepared().await;
        this.prepare(Purpose::Tenants).await;
        this
    }

    /// The same with a `saas_platform`, not migrated yet, for [`crate::TestHouse::start_on`]. What was committed without a flush
    /// stays in the server's memory for longer than a test takes, so that a crash loses it.
    ///
    /// # Panics
    /// Where PostgreSQL does not start.
    pub async fn private_platform() -> Self {
        let folder = new_folder();
        let cluster = launch(&folder, 0, ROOM, &PRIVATE).await;
        let this = Self { cluster, folder, control_password: CONTROL_PASSWORD };
        this.prepare(Purpose::PlatformAndTenants).await;
        let admin = this.admin("postgres").await;
        // Any other commit that is flushed takes those before it along: the data planes' signs of life come all the time.
        let unflushed = "alter role rowhouse_data set synchronous_commit = off";
        for sql in ["alter system set wal_writer_delay = '10s'", "select pg_reload_conf()", unflushed] {
            admin.run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
        drop(admin);
        this
    }

    /// The same in a folder of the caller's, with the write-ahead log in another one: where that is full, the whole server
    /// stops, and only a full disk for data is survived.
    ///
    /// # Panics
    /// Where PostgreSQL does not start.
    pub async fn private_in(folder: &Path, log: &Path) -> Self {
        let cluster = launch(folder, 0, ROOM, &PRIVATE).await;
        let inside = cluster.pgdata().join("pg_wal");
        let port = cluster.port();
        cluster.stop().await.expect("the server stops");
        let moved = std::process::Command::new("mv").args([&inside, &log.join("pg_wal")]).status();
        assert!(moved.is_ok_and(|status| status.success()), "the write-ahead log can be moved");
        std::os::unix::fs::symlink(log.join("pg_wal"), &inside).expect("a link can be made");
        let cluster = launch(folder, port, ROOM, &PRIVATE).await;
        let this = Self { cluster, folder: folder.to_owned(), control_password: FURTHER_CONTROL_PASSWORD };
        this.prepare(Purpose::Tenants).await;
        this
    }

    /// The same as `initdb` left it.
    ///
    /// # Panics
    /// Where PostgreSQL does not start.
    pub async fn unprepared() -> Self {
        let folder = new_folder();
        let cluster = launch(&folder, 0, ROOM, &PRIVATE).await;
        Self { cluster, folder, control_password: FURTHER_CONTROL_PASSWORD }
    }

    async fn start() -> Self {
        let folder = new_folder();
        let cluster = launch(&folder, 0, 300, &[("shared_buffers", "256MB")]).await;
        let this = Self { cluster, folder, control_password: CONTROL_PASSWORD };
        this.prepare(Purpose::PlatformAndTenants).await;
        this.make_templates().await;
        this
    }

    async fn prepare(&self, purpose: Purpose) {
        let passwords = BootstrapPasswords {
            control: SecretString::from(self.control_password),
            data: SecretString::from(DATA_PASSWORD),
        };
        bootstrap(&self.superuser(), &Tls::Disabled, &passwords, purpose)
            .await
            .unwrap_or_else(|error| panic!("the cluster is bootstrapped: {}", error.chain()));
    }

    /// Stops the server as an administrator would: sessions are ended.
    ///
    /// # Panics
    /// Where it does not stop.
    pub async fn stop(self) -> StoppedCluster {
        let Self { cluster, folder, control_password } = self;
        let port = cluster.port();
        cluster.stop().await.expect("the server stops");
        StoppedCluster { folder, port, control_password }
    }

    /// Kills the server and everything that belongs to it, all at once.
    ///
    /// # Panics
    /// Where it is gone already.
    pub async fn kill(self) -> StoppedCluster {
        let Self { cluster, folder, control_password } = self;
        let port = cluster.port();
        processes::kill(cluster.pid());
        cluster.stop().await.expect("a dead server can be cleared away");
        StoppedCluster { folder, port, control_password }
    }

    /// Stops the server and everything that belongs to it in the middle of what they do, until the value is dropped: the
    /// system still takes connections for it, and nobody answers.
    ///
    /// # Panics
    /// Where it is gone already.
    pub fn freeze(&self) -> Frozen {
        Frozen::freeze(self.cluster.pid())
    }

    async fn make_templates(&self) {
        let superuser = self.admin("postgres").await;
        for (template, source, set) in [
            (PLATFORM_TEMPLATE, "saas_platform", rowhouse_migrations::Set::Platform),
            (TENANT_TEMPLATE, "rowhouse_base", rowhouse_migrations::Set::Tenant),
        ] {
            let name = quote_ident(template);
            for sql in [
                format!("create database {name} owner rowhouse_owner template {}", quote_ident(source)),
                format!("revoke all on database {name} from public"),
                format!("grant connect on database {name} to rowhouse_control"),
            ] {
                superuser.run(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            }
            crate::databases::migrate(&self.control(), template, "public", set).await;
            superuser
                .run(&format!("alter database {name} is_template true allow_connections false"))
                .await
                .expect("the template is closed");
        }
    }

    /// The superuser's address.
    pub fn superuser(&self) -> ServerAddress {
        let superuser = self.cluster.superuser();
        self.address(superuser.user, &superuser.password)
    }

    /// The control plane's address.
    pub fn control(&self) -> ServerAddress {
        self.address("rowhouse_control", self.control_password)
    }

    /// The data plane's address.
    pub fn data(&self) -> ServerAddress {
        self.address("rowhouse_data", DATA_PASSWORD)
    }

    /// How the data plane reaches a database of this cluster as its `saas_platform`.
    pub fn platform_settings(&self, database: &str) -> settings::Platform {
        settings::Platform {
            host: "127.0.0.1".to_owned(),
            port: self.port(),
            database: database.to_owned(),
            user: String::new(),
            password: SecretString::from(DATA_PASSWORD),
            tls: settings::Tls::Disable,
            ca_file: PathBuf::new(),
            max_connections: 4,
            connect_timeout: Duration::from_secs(15),
            checkout_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(15),
        }
    }

    /// The address of any login.
    pub fn address(&self, user: &str, password: &str) -> ServerAddress {
        let superuser = self.cluster.superuser();
        ServerAddress {
            host: superuser.host.to_owned(),
            port: superuser.port,
            user: user.to_owned(),
            password: SecretString::from(password.to_owned()),
        }
    }

    /// Where the server listens.
    pub fn port(&self) -> u16 {
        self.cluster.port()
    }

    /// The server's own log.
    pub fn log_file(&self) -> std::path::PathBuf {
        self.cluster.log_file()
    }

    /// PostgreSQL's data directory.
    pub fn data_directory(&self) -> &Path {
        self.cluster.pgdata()
    }

    /// A superuser's connection.
    ///
    /// # Panics
    /// Where the server refuses it.
    pub async fn admin(&self, database: &str) -> AdminConnection {
        AdminConnection::open(&self.superuser(), database, &Tls::Disabled)
            .await
            .unwrap_or_else(|error| panic!("connecting to {database}: {}", error.chain()))
    }
}

impl StoppedCluster {
    /// Starts the server again, where it was.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start(self) -> TestCluster {
        self.start_with_room_for(ROOM).await
    }

    /// The same with another `max_connections`, of which three are the superuser's.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start_with_room_for(mut self, max_connections: u16) -> TestCluster {
        let folder = std::mem::take(&mut self.folder);
        let cluster = launch(&folder, self.port, max_connections, &PRIVATE).await;
        TestCluster { cluster, folder, control_password: self.control_password }
    }
}

impl Drop for StoppedCluster {
    fn drop(&mut self) {
        let folder = std::mem::take(&mut self.folder);
        if !folder.as_os_str().is_empty() {
            // A test is in a runtime already, which can't wait for another one in the same thread.
            let deleted = std::thread::spawn(move || block_on(async move { Cluster::delete_at(&folder).await }));
            let _ = deleted.join();
        }
    }
}

fn new_folder() -> PathBuf {
    default_tmpfs().join(format!("rowhouse-tests-{}", uuid::Uuid::now_v7().simple()))
}

/// Private clusters are small, and a commit that was acknowledged is written down: their servers are killed.
const PRIVATE: [(&str, &str); 2] = [("shared_buffers", "32MB"), ("synchronous_commit", "on")];

async fn launch(folder: &Path, port: u16, max_connections: u16, further: &[(&str, &str)]) -> Cluster {
    let installation = Installation::find_complete().expect("run `cargo xtask setup` to install what is missing");
    // Tests create and drop databases all the time; statistics of them are of no use.
    let settings = [("autovacuum", "off"), ("max_wal_size", "4GB")];
    let settings = settings.iter().chain(further).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = Options { port, max_connections, settings: settings.collect(), ..Options::throwaway(folder) };
    Cluster::start(&installation, options).await.expect("a private cluster starts")
}

/// Runs a future to its end on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built").block_on(future)
}
