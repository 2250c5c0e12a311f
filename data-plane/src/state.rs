//! What every handler and every background task of the process works with.

use std::sync::Arc;

use rowhouse_database::{PlatformPool, TenantPools, Tls};
use rowhouse_keys::MasterKey;
use rowhouse_problem::{Error, Result};
use rowhouse_settings::Settings;

use crate::archives;
use crate::authentication::{KeyCache, RefusalAudit, WrongKeys};
use crate::canaries::Canaries;
use crate::contents::Contents;
use crate::files::{Slots, doors};
use crate::quota::Blocks;
use crate::rate_limits::RateLimits;
use crate::replica;
use crate::uploads::Assemblies;
use crate::usage::Meter;
use crate::work::{Nudge, WorkContext};

/// The login that the data plane has at `saas_platform` where the settings name no other.
pub(crate) const PLATFORM_LOGIN: &str = "rowhouse_data";

/// Handles to everything outside the process. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// `saas_platform`.
    pub platform: PlatformPool,
    /// The only way to tenant data.
    pub tenants: TenantPools,
    /// Where contents lie.
    pub contents: Contents,
    /// The root of all secrets.
    pub master: Arc<MasterKey>,
    /// How this process is set up.
    pub settings: Arc<Settings>,
    /// Wakes the worker after a commit that queued jobs.
    pub nudge: Nudge,
    /// Room leased for uploads.
    pub blocks: Blocks,
    /// How many uploads run at once.
    pub upload_slots: Slots,
    /// How many archives are sent at once.
    pub archive_slots: Slots,
    /// Uploads in parts that become files right now.
    pub(crate) assemblies: Assemblies,
    /// What is remembered of keys.
    pub keys: KeyCache,
    /// How many wrong keys came from where.
    pub wrong_keys: Arc<WrongKeys>,
    /// How often everybody may ask.
    pub rate_limits: Arc<RateLimits>,
    /// What tenants ask for and move.
    pub meter: Arc<Meter>,
    /// Answers that a run of migrations watches.
    pub canaries: Arc<Canaries>,
    /// How refused keys are recorded.
    pub refusals: RefusalAudit,
}

impl AppState {
    /// Opens the blob store and prepares the pools; no connection to PostgreSQL is made yet.
    ///
    /// # Errors
    /// Where a secret, a certificate or the blob store can't be used.
    pub fn new(settings: Settings) -> Result<Self> {
        let master = Arc::new(
            MasterKey::load(&settings.keys.master_key, &settings.keys.master_key_file).map_err(Error::internal)?,
        );
        let tls = Tls::from_settings(&settings.platform).map_err(Error::internal)?;
        let platform = PlatformPool::new(&settings.platform, PLATFORM_LOGIN)?;
        let tenants =
            TenantPools::leased(settings.pools.clone(), tls, Arc::clone(&master), replica::of(&settings.pools));
        let rate_limits = Arc::new(RateLimits::new(&settings.rate_limits, settings.auth.cache_size));
        Ok(Self {
            refusals: RefusalAudit::default(),
            canaries: Arc::new(Canaries::default()),
            meter: Arc::new(Meter::new(settings.usage.journal.clone())),
            keys: KeyCache::new(
                &settings,
                platform.clone(),
                tenants.clone(),
                Arc::clone(&master),
                Arc::clone(&rate_limits),
            ),
            rate_limits,
            wrong_keys: Arc::new(WrongKeys::new(&settings.auth)),
            upload_slots: Slots::new("uploads", settings.uploads.parallel),
            assemblies: Assemblies::default(),
            archive_slots: Slots::new("archives", archives::PARALLEL),
            tenants,
            contents: Contents::open(&settings.blobs, Arc::clone(&master))?,
            nudge: Nudge::new(settings.work.parallel),
            blocks: Blocks::new(&settings.quota),
            settings: Arc::new(settings),
            platform,
            master,
        })
    }

    /// The part that background work needs; its helper processes are run from this binary unless the settings name another.
    ///
    /// # Errors
    /// Where the operating system does not say which binary this is.
    pub fn work(&self) -> Result<WorkContext> {
        Ok(WorkContext {
            platform: self.platform.clone(),
            nudge: self.nudge.clone(),
            tenants: self.tenants.clone(),
            contents: self.contents.clone(),
            settings: self.settings.work.clone(),
            trash: self.settings.trash.clone(),
            bucket: doors::bucket(self).to_owned(),
            reservation_ttl: self.settings.uploads.reservation_ttl,
            scrub: self.settings.scrub.clone(),
            extractor: match &self.settings.work.extractor {
                own if own.as_os_str().is_empty() => std::env::current_exe().map_err(Error::internal)?,
                other => other.clone(),
            },
        })
    }
}
