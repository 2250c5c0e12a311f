//! What every handler and every background task works with.

use std::sync::Arc;

use rowhouse_database::{AdminConnection, PlatformPool, ServerAddress, Tls};
use rowhouse_domain::TenantId;
use rowhouse_keys::MasterKey;
use rowhouse_problem::{Error, Result};
use rowhouse_settings::Settings;
use secrecy::SecretString;

use crate::authentication::RefusalBudget;
use crate::clusters::{Cluster, Turn, Turns};
use crate::operations::Pulse;
use crate::tenants::RecentLooks;

/// The login of the control plane.
pub(crate) const LOGIN: &str = "rowhouse_control";
/// The database of every cluster that connections which belong to no tenant are made to.
const MAINTENANCE_DATABASE: &str = "postgres";

/// Shared by handlers through `web::Data`, and by the background tasks.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) platform: PlatformPool,
    pub(crate) master: Arc<MasterKey>,
    pub(crate) tls: Tls,
    pub(crate) pulse: Pulse,
    pub(crate) refusals: RefusalBudget,
    pub(crate) looks: RecentLooks,
    turns: Turns,
}

impl Context {
    /// Reads the secrets that the settings name; connects to nothing yet.
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        Ok(Self {
            platform: PlatformPool::new(&settings.platform, LOGIN)?,
            master: Arc::new(
                MasterKey::load(&settings.keys.master_key, &settings.keys.master_key_file).map_err(Error::internal)?,
            ),
            tls: Tls::from_settings(&settings.platform).map_err(Error::internal)?,
            pulse: Pulse::default(),
            refusals: RefusalBudget::default(),
            looks: RecentLooks::default(),
            turns: Turns::default(),
            settings,
        })
    }

    /// A connection for DDL to the platform database.
    pub(crate) async fn administer_platform(&self) -> Result<AdminConnection> {
        let platform = &self.settings.platform;
        let address = self.address(&platform.host, platform.port);
        AdminConnection::open(&address, &platform.database, &self.tls).await
    }

    /// A connection for what concerns a whole cluster: roles and databases.
    pub(crate) async fn administer_cluster(&self, cluster: &Cluster) -> Result<AdminConnection> {
        self.administer_database(cluster, MAINTENANCE_DATABASE).await
    }

    /// The same for a request, which waits for its turn. Not for background work, which is bounded by itself.
    pub(crate) async fn administer_cluster_in_turn(&self, cluster: &Cluster) -> Result<(Turn, AdminConnection)> {
        let turn = self.turns.take(cluster.id).await?;
        Ok((turn, self.administer_cluster(cluster).await?))
    }

    /// A connection for DDL inside one database of a cluster.
    pub(crate) async fn administer_database(&self, cluster: &Cluster, database: &str) -> Result<AdminConnection> {
        AdminConnection::open(&self.address(&cluster.host, cluster.port), database, &self.tls).await
    }

    /// A connection as a tenant's own login, to see what it sees.
    pub(crate) async fn log_in_as(
        &self,
        cluster: &Cluster,
        database: &str,
        role: &str,
        password: SecretString,
    ) -> Result<AdminConnection> {
        let address = ServerAddress { host: cluster.host.clone(), port: cluster.port, user: role.to_owned(), password };
        AdminConnection::open(&address, database, &self.tls).await
    }

    /// The password of a tenant's login.
    pub(crate) fn tenant_password(&self, tenant: TenantId, version: i32) -> SecretString {
        self.master.tenant_database_password(tenant, version)
    }

    fn address(&self, host: &str, port: u16) -> ServerAddress {
        let platform = &self.settings.platform;
        let user = if platform.user.is_empty() { LOGIN } else { &platform.user };
        ServerAddress { host: host.to_owned(), port, user: user.to_owned(), password: platform.password.clone() }
    }
}
