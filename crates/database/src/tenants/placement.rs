//! Where a tenant's data is, as `saas_platform` says.

use rowhouse_domain::{ClusterId, Isolation, TenantId};

/// The address and login of a tenant's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Whose data it is.
    pub tenant: TenantId,
    /// Grows each time the placement changes; a pool made for an older one is closed.
    pub generation: i64,
    /// How it is kept apart.
    pub isolation: Isolation,
    /// The cluster.
    pub cluster: ClusterId,
    /// Where the cluster listens.
    pub host: String,
    /// Where the cluster listens.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The schema.
    pub schema: String,
    /// The login.
    pub role: String,
    /// Version of the login's password.
    pub credential_version: i32,
}

/// A placement whose tenant and organization are in a state to be served: only such a one is connected to.
#[derive(Debug, Clone)]
pub struct ActivePlacement(Placement);

impl ActivePlacement {
    /// Vouches that the tenant may be served; to be called where its status was just read.
    pub fn vouch(placement: Placement) -> Self {
        Self(placement)
    }

    /// The placement.
    pub fn get(&self) -> &Placement {
        &self.0
    }
}
