//! Reading, layering and checking settings.

use std::path::Path;
use std::time::Duration;

use config::{Config, Environment, File, FileFormat};
use secrecy::ExposeSecret;

use crate::sections::{BlobBackend, S3Client, Settings, Tls};

/// The shipped defaults, part of the binary so that it runs without a file.
const DEFAULTS: &str = include_str!("../../../deploy/settings/default.toml");

/// S3 takes no signed address that is good for longer.
const LONGEST_REDIRECT: Duration = Duration::from_hours(7 * 24);

/// Settings that can't be used, naming the key and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file that can't be read, or a text that is not TOML.
    #[error("settings cannot be read: {0}")]
    Unreadable(#[source] config::ConfigError),
    /// A key that does not exist, or a value of the wrong kind.
    #[error("setting `{key}`: {reason}")]
    Invalid {
        /// The key, with its section.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

/// Loads settings for this process: defaults, the file, the environment.
pub fn load(file: Option<&Path>) -> Result<Settings, SettingsError> {
    load_from(file, Environment::with_prefix("ROWHOUSE").prefix_separator("__").separator("__"))
}

/// Loads settings with a given environment: what tests use to stay apart from their process's own.
pub fn load_from(file: Option<&Path>, environment: Environment) -> Result<Settings, SettingsError> {
    let mut builder = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    if let Some(file) = file {
        builder = builder.add_source(File::from(file).format(FileFormat::Toml));
    }
    let config = builder.add_source(environment).build().map_err(SettingsError::Unreadable)?;
    let settings: Settings = serde_path_to_error::deserialize(config).map_err(|error| {
        let path = error.path().to_string();
        SettingsError::Invalid { key: path, reason: error.into_inner().to_string() }
    })?;
    check(&settings)?;
    Ok(settings)
}

/// Rules that need more than one key, or a range.
fn check(settings: &Settings) -> Result<(), SettingsError> {
    let redirect = settings.blobs.redirect_downloads;
    let rules: [(&str, bool, &str); 26] = [
        (
            "platform.password",
            !settings.platform.password.expose_secret().is_empty(),
            "must be set: the login's password",
        ),
        (
            "platform.ca_file",
            settings.platform.tls != Tls::VerifyFull || !settings.platform.ca_file.as_os_str().is_empty(),
            "must be set when platform.tls is verify_full",
        ),
        (
            "keys.master_key",
            settings.keys.master_key.expose_secret().is_empty() != settings.keys.master_key_file.as_os_str().is_empty(),
            "set either keys.master_key or keys.master_key_file (`openssl rand -base64 32` makes one)",
        ),
        ("auth.cache_size", settings.auth.cache_size > 0, "must be at least 1"),
        ("auth.unknown_keys_burst", settings.auth.unknown_keys_burst > 0, "must be at least 1"),
        ("auth.lookups_burst", settings.auth.lookups_burst > 0, "must be at least 1"),
        ("platform.max_connections", settings.platform.max_connections > 0, "must be at least 1"),
        ("pools.cluster_budget", settings.pools.cluster_budget > 0, "must be at least 1"),
        (
            "pools.per_tenant",
            (1..=settings.pools.cluster_budget).contains(&settings.pools.per_tenant),
            "must be at least 1 and at most pools.cluster_budget",
        ),
        ("pools.per_slow_tenant", settings.pools.per_slow_tenant > 0, "must be at least 1"),
        ("pools.opening", (1..=8).contains(&settings.pools.opening), "must be 1 to 8"),
        (
            "pools.floor_kept",
            settings.pools.floor_kept > settings.auth.stale_max,
            "must be longer than auth.stale_max: so long a replica without saas_platform lives on its floor",
        ),
        (
            "pools.floor",
            (1..=settings.pools.cluster_budget).contains(&settings.pools.floor),
            "must be at least 1 and at most pools.cluster_budget",
        ),
        ("provisioning.parallel", settings.provisioning.parallel > 0, "must be at least 1"),
        ("migrations.verify_parallel", settings.migrations.verify_parallel > 0, "must be at least 1"),
        ("provisioning.clones", settings.provisioning.clones > 0, "must be at least 1"),
        (
            "tenancy.isolation_by_tier",
            settings.tenancy.isolation_by_tier.iter().all(|(tier, level)| settings.tenancy.allows(*tier, *level)),
            "names an isolation that tenancy.isolation_allowed does not allow the tier",
        ),
        (
            "tenancy.group_size",
            settings.tenancy.group_size > 0 && settings.tenancy.shared_size > 0,
            "and tenancy.shared_size must be at least 1",
        ),
        ("tenancy.retention_days", settings.tenancy.retention_days >= 0, "must not be negative"),
        ("purge.max_per_hour", settings.purge.max_per_hour >= 0, "must not be negative"),
        ("work.parallel", settings.work.parallel > 0, "must be at least 1"),
        (
            "blobs.bucket",
            settings.blobs.backend != BlobBackend::S3 || !settings.blobs.bucket.is_empty(),
            "must be set when blobs.backend is s3",
        ),
        (
            "blobs.redirect_downloads",
            redirect.is_zero()
                || settings.blobs.backend == BlobBackend::S3 && settings.blobs.client == S3Client::ObjectStore,
            "needs blobs.backend = \"s3\" with blobs.client = \"object_store\"",
        ),
        (
            "blobs.redirect_downloads",
            redirect.is_zero() || (Duration::from_secs(1)..=LONGEST_REDIRECT).contains(&redirect),
            "must be 0s, or at least a second and at most a week",
        ),
        (
            "scrub.bytes_per_second",
            settings.scrub.bytes_per_second > 0,
            "must be at least 1 (scrub.every = 0s ends it)",
        ),
        (
            "scrub.objects_per_second",
            settings.scrub.objects_per_second > 0,
            "must be at least 1 (scrub.strays_every = 0s ends it)",
        ),
    ];
    match rules.into_iter().find(|(_, holds, _)| !holds) {
        Some((key, _, reason)) => Err(SettingsError::Invalid { key: key.to_owned(), reason: reason.to_owned() }),
        None => check_rate_limits(settings),
    }
}

fn check_rate_limits(settings: &Settings) -> Result<(), SettingsError> {
    for (key, limit) in settings.rate_limits.each() {
        limit.check().map_err(|(part, reason)| SettingsError::Invalid { key: format!("{key}.{part}"), reason })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let source = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Environment::with_prefix("ROWHOUSE").prefix_separator("__").separator("__").source(Some(source))
    }

    const SECRETS: [(&str, &str); 2] =
        [("ROWHOUSE__PLATFORM__PASSWORD", "1e5"), ("ROWHOUSE__KEYS__MASTER_KEY", "c2VjcmV0")];

    #[test]
    fn defaults_need_nothing_but_the_secrets() {
        let settings = load_from(None, environment(&SECRETS)).unwrap();
        assert_eq!(settings.control_plane.port, 7400);
        assert_eq!(settings.platform.password.expose_secret(), "1e5", "a password is text, whatever it looks like");
        let error = load_from(None, environment(&SECRETS[1..])).unwrap_err().to_string();
        assert!(error.contains("platform.password"), "{error}");
    }

    #[test]
    fn each_tier_has_limits_and_a_key_leaves_room_for_its_tenants_others() {
        let limits = load_from(None, environment(&SECRETS)).unwrap().rate_limits;
        for tier in rowhouse_domain::Tier::ALL {
            let (key, tenant) = (limits.key[tier], limits.tenant[tier]);
            assert!(key.per_second > 0 && key.per_second < tenant.per_second && key.burst < tenant.burst, "{tier}");
        }
        assert!(limits.address.per_second > 0);
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "[data_plane]\nport = 1\n[work]\npoll = '250ms'\n").unwrap();
        let mut pairs = SECRETS.to_vec();
        pairs.push(("ROWHOUSE__DATA_PLANE__PORT", "9000"));
        let settings = load_from(Some(file.path()), environment(&pairs)).unwrap();
        assert_eq!((settings.data_plane.port, settings.work.poll), (9000, Duration::from_millis(250)));
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_named() {
        for (key, value, named) in [
            ("ROWHOUSE__DATA_PLANE__PROT", "1", "prot"),
            ("ROWHOUSE__NONSENSE__KEY", "1", "nonsense"),
            ("ROWHOUSE__WORK__POLL", "soon", "work.poll"),
            ("ROWHOUSE__DATA_PLANE__PORT", "70000", "data_plane.port"),
            ("ROWHOUSE__POOLS__PER_TENANT", "0", "pools.per_tenant"),
            ("ROWHOUSE__POOLS__PER_SLOW_TENANT", "0", "pools.per_slow_tenant"),
            ("ROWHOUSE__POOLS__OPENING", "0", "pools.opening"),
            ("ROWHOUSE__POOLS__OPENING", "9", "pools.opening"),
            ("ROWHOUSE__AUTH__STALE_MAX", "90m", "pools.floor_kept"),
            ("ROWHOUSE__BLOBS__BACKEND", "s3", "blobs.bucket"),
            ("ROWHOUSE__BLOBS__REDIRECT_DOWNLOADS", "1m", "blobs.redirect_downloads"),
            ("ROWHOUSE__SCRUB__BYTES_PER_SECOND", "0", "scrub.bytes_per_second"),
            ("ROWHOUSE__SCRUB__OBJECTS_PER_SECOND", "0", "scrub.objects_per_second"),
            ("ROWHOUSE__RATE_LIMITS__ADDRESS__BURST", "0", "rate_limits.address.burst"),
            ("ROWHOUSE__RATE_LIMITS__KEY__FREE__PER_SECOND", "1000001", "rate_limits.key.free.per_second"),
            ("ROWHOUSE__RATE_LIMITS__TENANT__GRATIS__BURST", "1", "gratis"),
        ] {
            let mut pairs = SECRETS.to_vec();
            pairs.push((key, value));
            let error = load_from(None, environment(&pairs)).unwrap_err().to_string();
            assert!(error.contains(named), "{key}: {error}");
        }
    }

    #[test]
    fn redirects_are_only_where_the_bucket_gives_addresses() {
        let load = |client, lifetime| {
            let bucket = [("ROWHOUSE__BLOBS__BACKEND", "s3"), ("ROWHOUSE__BLOBS__BUCKET", "houses")];
            let mut pairs = [SECRETS, bucket].concat();
            pairs.extend([("ROWHOUSE__BLOBS__CLIENT", client), ("ROWHOUSE__BLOBS__REDIRECT_DOWNLOADS", lifetime)]);
            load_from(None, environment(&pairs)).is_ok()
        };
        assert!(load("object_store", "1m") && load("object_store", "7days") && load("rusoto", "0s"));
        assert!(!load("rusoto", "1m") && !load("object_store", "8days") && !load("object_store", "1ms"));
    }

    #[test]
    fn secrets_do_not_print() {
        let settings = load_from(None, environment(&SECRETS)).unwrap();
        assert!(!format!("{settings:?}").contains("1e5"));
    }
}
