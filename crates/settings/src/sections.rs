//! What can be set. Each key and its default is explained in `deploy/settings/default.toml`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use rowhouse_domain::{Isolation, RateLimit, Tier};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// All settings of a service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Settings {
    pub platform: Platform,
    pub keys: Keys,
    pub auth: Auth,
    pub rate_limits: RateLimits,
    pub control_plane: Server,
    pub data_plane: Server,
    pub admin: Admin,
    pub s3: S3,
    pub telemetry: Telemetry,
    pub pools: Pools,
    pub provisioning: Provisioning,
    pub migrations: Migrations,
    pub tenancy: Tenancy,
    pub purge: Purge,
    pub cluster_credentials: HashMap<String, ClusterCredentials>,
    pub uploads: Uploads,
    pub quota: Quota,
    pub usage: Usage,
    pub versions: Versions,
    pub trash: Trash,
    pub scrub: Scrub,
    pub work: Work,
    pub blobs: Blobs,
}

/// Where `saas_platform` is and how to log in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Platform {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: SecretString,
    pub tls: Tls,
    pub ca_file: PathBuf,
    pub max_connections: usize,
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub checkout_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
}

/// How a connection to PostgreSQL is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// In the clear: loopback and private networks only.
    Disable,
    /// The server's certificate and name are checked against the given authority.
    VerifyFull,
}

/// The master key and what is derived from it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Keys {
    pub master_key: SecretString,
    pub master_key_file: PathBuf,
    pub pepper_version: i32,
}

/// What the data plane remembers of keys, and for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Auth {
    pub cache_size: u64,
    #[serde(with = "humantime_serde")]
    pub negative_ttl: Duration,
    #[serde(with = "humantime_serde")]
    pub stale_max: Duration,
    pub snapshot_file: PathBuf,
    pub unknown_keys_per_second: u32,
    pub unknown_keys_burst: u32,
    pub lookups_per_second: u32,
    pub lookups_burst: u32,
}

/// How often the data plane may be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct RateLimits {
    pub address: RateLimit,
    pub tenant: HashMap<Tier, RateLimit>,
    pub key: HashMap<Tier, RateLimit>,
}

impl RateLimits {
    /// The same limit for everybody.
    pub fn all(limit: RateLimit) -> Self {
        let tiers: HashMap<Tier, RateLimit> = Tier::ALL.iter().map(|tier| (*tier, limit)).collect();
        Self { address: limit, tenant: tiers.clone(), key: tiers }
    }

    /// Every limit with the setting that it is.
    pub(crate) fn each(&self) -> impl Iterator<Item = (String, RateLimit)> {
        let address = [("rate_limits.address".to_owned(), self.address)];
        let tenants = self.tenant.iter().map(|(tier, limit)| (format!("rate_limits.tenant.{tier}"), *limit));
        let keys = self.key.iter().map(|(tier, limit)| (format!("rate_limits.key.{tier}"), *limit));
        address.into_iter().chain(tenants).chain(keys)
    }
}

/// Where a service listens and how long it waits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub workers: usize,
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub shutdown_timeout: Duration,
}

/// The port of the data plane for those who run it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Admin {
    pub host: String,
    pub port: u16,
}

/// The S3-compatible port of the data plane.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct S3 {
    pub enabled: bool,
    pub host: String,
    pub port: u16,
    pub domain: String,
}

/// Logs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Telemetry {
    pub log: String,
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines: one JSON object a line.
    Json,
}

/// A pooler that stands before a server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pooler {
    /// The server as its cluster's row has it: `host:port`.
    pub server: String,
    /// Where the pooler listens.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How connections to the pooler are secured; by the authority of the cluster.
    pub tls: Tls,
}

/// Connections to tenant databases.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Pools {
    pub through: Vec<Pooler>,
    pub cluster_budget: usize,
    pub per_tenant: usize,
    pub per_slow_tenant: usize,
    pub opening: usize,
    pub floor: usize,
    #[serde(with = "humantime_serde")]
    pub floor_kept: Duration,
    pub replica_file: PathBuf,
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub checkout_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub max_lifetime: Duration,
}

/// How tenants are made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Provisioning {
    pub base: String,
    pub stock: usize,
    pub clones: usize,
    #[serde(with = "humantime_serde")]
    pub cluster_check: Duration,
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
    #[serde(with = "humantime_serde")]
    pub poll: Duration,
    pub parallel: usize,
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    pub max_attempts: i32,
    pub connection_limit: i32,
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub idle_in_transaction_timeout: Duration,
    pub temp_file_limit_mib: u32,
}

/// How tenants' schemas are migrated.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Migrations {
    pub parallel: usize,
    #[serde(with = "humantime_serde")]
    pub poll: Duration,
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    pub clone_max_bytes: u64,
    pub webhook_url: String,
    pub webhook_secret: SecretString,
    #[serde(with = "humantime_serde")]
    pub verify_every: Duration,
    pub verify_in_runs: bool,
    pub verify_after_runs: bool,
    pub verify_parallel: usize,
    pub tenant_folder: PathBuf,
}

/// How far tenants are kept apart, and how long deleted ones are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Tenancy {
    pub isolation_by_tier: HashMap<Tier, Isolation>,
    pub isolation_allowed: HashMap<Tier, Vec<Isolation>>,
    pub group_size: i64,
    pub shared_size: i64,
    pub retention_days: i32,
}

impl Tenancy {
    /// The isolation of a tenant whose request names none.
    pub fn default_isolation(&self, tier: Tier) -> Isolation {
        self.isolation_by_tier.get(&tier).copied().unwrap_or(Isolation::Dedicated)
    }

    /// Whether a tier's tenants may be kept apart in this way.
    pub fn allows(&self, tier: Tier, isolation: Isolation) -> bool {
        self.isolation_allowed.get(&tier).is_none_or(|allowed| allowed.contains(&isolation))
    }
}

/// How many tenants may go for good.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Purge {
    pub max_per_hour: i64,
}

/// The password of the control plane's login on a cluster that names this entry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct ClusterCredentials {
    pub password: SecretString,
}

/// Content going in and out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Uploads {
    pub max_bytes: u64,
    pub parallel: usize,
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub reservation_ttl: Duration,
    #[serde(with = "humantime_serde")]
    pub session_ttl: Duration,
}

/// Room leased in advance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Quota {
    pub largest_block: u64,
    #[serde(with = "humantime_serde")]
    pub block_ttl: Duration,
    #[serde(with = "humantime_serde")]
    pub block_idle: Duration,
}

/// Counting what tenants ask for and move.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Usage {
    pub journal: PathBuf,
}

/// Which versions of files a new workspace keeps.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Versions {
    pub keep_last: i32,
    pub keep_for_days: i32,
}

impl Versions {
    /// So many newest ones, where there is such a rule.
    pub fn keep_last(&self) -> Option<i32> {
        Some(self.keep_last).filter(|number| *number > 0)
    }

    /// Those replaced less than so many days ago, where there is such a rule.
    pub fn keep_for_days(&self) -> Option<i32> {
        Some(self.keep_for_days).filter(|number| *number > 0)
    }
}

/// What is deleted, before it is gone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Trash {
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    #[serde(with = "humantime_serde")]
    pub blob_grace: Duration,
}

/// Reading contents again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Scrub {
    #[serde(with = "humantime_serde")]
    pub every: Duration,
    pub bytes_per_second: u64,
    #[serde(with = "humantime_serde")]
    pub strays_every: Duration,
    pub objects_per_second: u32,
}

/// Background jobs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Work {
    pub parallel: usize,
    #[serde(with = "humantime_serde")]
    pub poll: Duration,
    pub max_attempts: i32,
    #[serde(with = "humantime_serde")]
    pub sweep_while_busy: Duration,
    pub extractor: PathBuf,
}

/// Where contents are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml explains each key once")]
pub struct Blobs {
    pub backend: BlobBackend,
    pub root: PathBuf,
    pub endpoint: String,
    pub region: String,
    pub bucket: String,
    pub path_style: bool,
    pub allow_http: bool,
    pub client: S3Client,
    pub encryption: Encryption,
    #[serde(with = "humantime_serde")]
    pub content_key_age: Duration,
    #[serde(with = "humantime_serde")]
    pub redirect_downloads: Duration,
}

impl Blobs {
    /// Whether new objects are sealed.
    pub fn seals(&self) -> bool {
        match self.encryption {
            Encryption::Auto => self.backend == BlobBackend::S3,
            Encryption::On => true,
            Encryption::Off => false,
        }
    }
}

/// Whether contents are encrypted before they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// Where they lie on somebody else's machine.
    Auto,
    /// In any case.
    On,
    /// Not.
    Off,
}

/// The kind of store that contents are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlobBackend {
    /// A folder of this machine.
    Local,
    /// A bucket of an S3-compatible service.
    S3,
}

/// The library that speaks S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum S3Client {
    /// `object_store`, the default.
    ObjectStore,
    /// `rusoto_s3`, in builds with the feature `rusoto`.
    Rusoto,
}
