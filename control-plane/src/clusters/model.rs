//! A cluster.

use jiff::Timestamp;
use rowhouse_domain::ClusterId;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A PostgreSQL server, or a primary with its standbys, that holds tenants.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Cluster {
    /// The cluster's id.
    #[schema(value_type = String, example = "clu_01jz3x5v8qf6k9m2n4p7r0s1t3")]
    pub(crate) id: ClusterId,
    /// What requests call it.
    #[schema(example = "default")]
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) host: String,
    /// Where it listens.
    pub(crate) port: u16,
    /// The control plane's login there.
    pub(crate) login: String,
    /// Where that login's password is: `platform` (that of `saas_platform`), `sealed` (kept encrypted), or the name of an
    /// entry of `cluster_credentials` in the settings as `settings:<name>`.
    pub(crate) credential: String,
    /// `disable`, or `verify_full`: the certificate and the name are checked.
    pub(crate) tls: String,
    /// Whether it has a certificate authority of its own; else that of the platform's settings checks it.
    pub(crate) has_tls_ca: bool,
    /// `active`, `draining`, `unreachable` or `retired`.
    pub(crate) status: String,
    /// Whether new tenants may be placed there.
    pub(crate) accepting: bool,
    /// Its share of new tenants.
    pub(crate) weight: i32,
    /// Connections that all replicas of the data plane together hold at most; each leases a part that follows its load.
    pub(crate) budget: i32,
    /// What an operator says about it; a tenant may ask for some.
    #[schema(value_type = Object)]
    pub(crate) labels: Value,
    /// Tenants that are placed there.
    pub(crate) tenants: i64,
    /// How it was last seen; none before the first look.
    pub(crate) health: Option<Health>,
    /// When it was registered.
    pub(crate) created_at: Timestamp,
    /// When it was last changed; its entity tag follows this.
    pub(crate) updated_at: Timestamp,
}

/// How a cluster was last seen.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Whether it answered.
    pub(crate) is_reachable: bool,
    /// What was wrong.
    pub(crate) error: Option<String>,
    /// When it was looked at.
    pub(crate) checked_at: Timestamp,
    /// When it last answered.
    pub(crate) seen_at: Option<Timestamp>,
    /// PostgreSQL's version.
    pub(crate) server_version: Option<String>,
    /// `max_connections` of the server.
    pub(crate) max_connections: Option<i32>,
    /// Connections of clients.
    pub(crate) used_connections: Option<i32>,
    /// Connections that are left.
    pub(crate) free_connections: Option<i32>,
    /// Bytes that its tenants store.
    pub(crate) bytes: Option<i64>,
}
