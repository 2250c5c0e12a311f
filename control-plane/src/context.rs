//! What every handler and every background task works with.

use std::sync::Arc;

use rowhouse_blobs::BlobStore;
use rowhouse_database::{AdminConnection, PlatformPool, ServerAddress, Tls};
use rowhouse_domain::TenantId;
use rowhouse_keys::MasterKey;
use rowhouse_migrations::{Migrations, Set};
use rowhouse_problem::{Error, Result};
use rowhouse_settings::Settings;
use secrecy::SecretString;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::authentication::RefusalBudget;
use crate::clusters::{ClusterLink, Kept, KeptConnections, Turn, Turns};
use crate::fleet::Webhook;
use crate::operations::{Hands, Pulse};
use crate::templates::KnownTemplates;
use crate::tenants::RecentLooks;

/// The login of the control plane.
pub(crate) const LOGIN: &str = "rowhouse_control";

/// Each is used for a fraction of a millisecond at a time.
const PROGRESS_CONNECTIONS: usize = 3;

/// Shared by handlers through `web::Data`, and by the background tasks.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) platform: PlatformPool,
    /// For the progress of operations, which is only noted down so that it is not made twice.
    pub(crate) progress: PlatformPool,
    pub(crate) master: Arc<MasterKey>,
    pub(crate) tls: Tls,
    pub(crate) pulse: Pulse,
    pub(crate) hands: Hands,
    /// Cancelled when the process is to stop.
    pub(crate) stop: CancellationToken,
    pub(crate) refusals: RefusalBudget,
    pub(crate) looks: RecentLooks,
    pub(crate) templates: KnownTemplates,
    /// Those of this build, unless the settings name a folder.
    pub(crate) tenant_migrations: Arc<Migrations>,
    /// Says that the stock has one less.
    pub(crate) stock_taken: Notify,
    /// Says that there is a run of migrations to take part in.
    pub(crate) fleet_woken: Notify,
    /// Who is told of runs.
    pub(crate) webhook: Option<Webhook>,
    /// Says that somebody waits for a sweep over schemas.
    pub(crate) sweep_asked: Notify,
    pub(crate) blobs: BlobStore,
    kept: KeptConnections,
    turns: Turns,
}

impl Context {
    /// Reads the secrets that the settings name; connects to nothing yet.
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        let (provisioning, stop) = (&settings.provisioning, CancellationToken::new());
        Ok(Self {
            hands: Hands::new(provisioning.parallel, provisioning.lease, stop.clone()),
            stop,
            platform: PlatformPool::new(&settings.platform, LOGIN)?,
            progress: PlatformPool::without_flush(&settings.platform, LOGIN, PROGRESS_CONNECTIONS)?,
            master: Arc::new(
                MasterKey::load(&settings.keys.master_key, &settings.keys.master_key_file).map_err(Error::internal)?,
            ),
            tls: Tls::from_settings(&settings.platform).map_err(Error::internal)?,
            pulse: Pulse::default(),
            refusals: RefusalBudget::default(),
            looks: RecentLooks::default(),
            templates: KnownTemplates::default(),
            tenant_migrations: Arc::new(tenant_migrations(&settings)?),
            stock_taken: Notify::new(),
            fleet_woken: Notify::new(),
            webhook: Webhook::of(&settings)?,
            sweep_asked: Notify::new(),
            blobs: BlobStore::open(&rowhouse_blobs::Config::of(&settings.blobs)).map_err(Error::internal)?,
            kept: KeptConnections::default(),
            turns: Turns::default(),
            settings,
        })
    }

    /// A connection for DDL to the platform database.
    pub(crate) async fn administer_platform(&self) -> Result<AdminConnection> {
        let platform = &self.settings.platform;
        let user = if platform.user.is_empty() { LOGIN } else { &platform.user };
        let address = ServerAddress {
            host: platform.host.clone(),
            port: platform.port,
            user: user.to_owned(),
            password: platform.password.clone(),
        };
        AdminConnection::open(&address, &platform.database, &self.tls).await
    }

    /// A connection for what concerns a whole cluster: roles and databases.
    pub(crate) async fn administer_cluster(&self, link: &ClusterLink) -> Result<Kept> {
        self.kept.take(self, link).await
    }

    /// The same for a request, which waits for its turn. Not for background work, which is bounded by itself.
    pub(crate) async fn administer_cluster_in_turn(&self, link: &ClusterLink) -> Result<(Turn, Kept)> {
        let turn = self.turns.take(link.id()).await?;
        Ok((turn, self.administer_cluster(link).await?))
    }

    /// The newest version that this release knows.
    pub(crate) fn schema_version(&self) -> Result<i32> {
        i32::try_from(self.tenant_migrations.latest()).map_err(Error::internal)
    }

    /// The password of a tenant's login.
    pub(crate) fn tenant_password(&self, tenant: TenantId, version: i32) -> SecretString {
        self.master.tenant_database_password(tenant, version)
    }
}

fn tenant_migrations(settings: &Settings) -> Result<Migrations> {
    let folder = &settings.migrations.tenant_folder;
    if folder.as_os_str().is_empty() {
        return Ok(Set::Tenant.migrations().clone());
    }
    Migrations::read(Set::Tenant, folder).map_err(Error::internal)
}
