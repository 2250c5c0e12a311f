//! What an operator can say about where blobs lie. Types only; nothing is opened here.

use std::path::PathBuf;

use rowhouse_settings as settings;
use secrecy::SecretString;
use serde::Deserialize;

/// Where blobs lie and how to reach them.
///
/// The sections of both backends may be filled in at once, so that one settings file can be switched by `backend` alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The backend in use.
    pub backend: Backend,
    /// Used when `backend` is `local`.
    pub local: LocalConfig,
    /// Used when `backend` is `s3`.
    pub s3: S3Config,
}

/// The kinds of place blobs can lie in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// A folder on this machine.
    #[default]
    Local,
    /// Any service that speaks the S3 protocol.
    S3,
}

/// A folder on this machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalConfig {
    /// The folder; made with mode 0700 when it does not exist.
    pub root: PathBuf,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self { root: PathBuf::from(".rowhouse/blobs") }
    }
}

/// A bucket of an S3 service.
///
/// Without `access_key_id` the usual AWS chain is asked: environment, web identity, container, instance.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// URL of the service; AWS itself when absent.
    pub endpoint: Option<String>,
    /// Region that requests are signed for.
    pub region: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Put the bucket into the path instead of the host name; most servers other than AWS want this.
    pub path_style: bool,
    /// Allow an `http://` endpoint.
    pub allow_http: bool,
    /// The client that makes the requests.
    pub client: S3Client,
    /// Access key id; together with `secret_access_key` it replaces the AWS chain.
    pub access_key_id: Option<String>,
    /// Secret of `access_key_id`.
    pub secret_access_key: Option<SecretString>,
    /// Session token of temporary credentials.
    pub session_token: Option<SecretString>,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".to_owned(),
            bucket: String::new(),
            path_style: false,
            allow_http: false,
            client: S3Client::default(),
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
        }
    }
}

/// The clients that can talk to S3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum S3Client {
    /// The client of the crate `object_store`.
    #[default]
    ObjectStore,
    /// `rusoto_s3`, in builds with the feature `rusoto`.
    Rusoto,
}

impl Config {
    /// What the settings say.
    pub fn of(blobs: &settings::Blobs) -> Self {
        Self {
            backend: match blobs.backend {
                settings::BlobBackend::Local => Backend::Local,
                settings::BlobBackend::S3 => Backend::S3,
            },
            local: LocalConfig { root: blobs.root.clone() },
            s3: S3Config {
                endpoint: (!blobs.endpoint.is_empty()).then(|| blobs.endpoint.clone()),
                region: blobs.region.clone(),
                bucket: blobs.bucket.clone(),
                path_style: blobs.path_style,
                allow_http: blobs.allow_http,
                client: match blobs.client {
                    settings::S3Client::ObjectStore => S3Client::ObjectStore,
                    settings::S3Client::Rusoto => S3Client::Rusoto,
                },
                ..S3Config::default()
            },
        }
    }
}
