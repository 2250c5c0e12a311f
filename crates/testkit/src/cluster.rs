//! One throwaway cluster a test process, in memory where there is room, with its templates.

use std::path::Path;
use std::sync::OnceLock;

use rowhouse_database::{AdminConnection, BootstrapPasswords, ServerAddress, Tls, bootstrap, quote_ident};
use rowhouse_local_postgres::{Cluster, Installation, Options, default_tmpfs};
use secrecy::SecretString;

/// Password of `rowhouse_control` on every test cluster.
pub const CONTROL_PASSWORD: &str = "control-for-tests";
/// Password of `rowhouse_data` on every test cluster.
pub const DATA_PASSWORD: &str = "data-for-tests";
/// A migrated `saas_platform` that tests clone.
pub(crate) const PLATFORM_TEMPLATE: &str = "rowhouse_test_platform";
/// A migrated tenant database that tests clone.
pub(crate) const TENANT_TEMPLATE: &str = "rowhouse_test_tenant";

/// The cluster of this test process.
pub struct TestCluster {
    cluster: Cluster,
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

    async fn start() -> Self {
        let installation = Installation::find_complete().expect("run `cargo xtask setup` to install what is missing");
        let folder = default_tmpfs().join(format!("rowhouse-tests-{}", uuid::Uuid::now_v7().simple()));
        let options = Options {
            max_connections: 300,
            settings: vec![
                ("shared_buffers".to_owned(), "256MB".to_owned()),
                // Tests create and drop databases all the time; statistics of them are of no use.
                ("autovacuum".to_owned(), "off".to_owned()),
                ("max_wal_size".to_owned(), "4GB".to_owned()),
            ],
            ..Options::throwaway(folder)
        };
        let cluster = Cluster::start(&installation, options).await.expect("a private cluster starts");
        let this = Self { cluster };
        let passwords = BootstrapPasswords {
            control: SecretString::from(CONTROL_PASSWORD),
            data: SecretString::from(DATA_PASSWORD),
        };
        bootstrap(&this.superuser(), &Tls::Disabled, &passwords)
            .await
            .unwrap_or_else(|error| panic!("the cluster is bootstrapped: {}", error.chain()));
        this.make_templates().await;
        this
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
        self.address("rowhouse_control", CONTROL_PASSWORD)
    }

    /// The data plane's address.
    pub fn data(&self) -> ServerAddress {
        self.address("rowhouse_data", DATA_PASSWORD)
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

/// Runs a future to its end on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built").block_on(future)
}
