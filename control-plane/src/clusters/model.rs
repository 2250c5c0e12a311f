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
    /// `active`, `draining`, `unreachable` or `retired`.
    pub(crate) status: String,
    /// Whether new tenants may be placed there.
    pub(crate) accepting: bool,
    /// Its share of new tenants.
    pub(crate) weight: i32,
    /// Connections that all replicas of the data plane together are meant to hold. Not enforced yet: each keeps to its
    /// own setting `pools.cluster_budget`.
    pub(crate) budget: i32,
    /// What an operator says about it.
    #[schema(value_type = Object)]
    pub(crate) labels: Value,
    /// Tenants that are placed there.
    pub(crate) tenants: i64,
    /// When it was registered.
    pub(crate) created_at: Timestamp,
    /// When it was last changed.
    pub(crate) updated_at: Timestamp,
}
