//! Where a tenant's data is, as `saas_platform` says.

use std::sync::Arc;

use rowhouse_domain::{GroupId, Isolation, TenantId};
use rowhouse_keys::MasterKey;
use secrecy::SecretString;

use crate::server::Server;

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
    pub server: Server,
    /// The database.
    pub database: String,
    /// The schema.
    pub schema: String,
    /// The login.
    pub role: String,
    /// What the login's password is derived from.
    pub credential: Credential,
}

/// What a login's password is derived from, besides the master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// The login is the tenant's own.
    Tenant {
        /// Raised to rotate the password.
        version: i32,
    },
    /// The login is that of a database that tenants share.
    Group {
        /// The database.
        group: GroupId,
        /// Raised to rotate the password.
        version: i32,
    },
}

impl Placement {
    /// The login's password.
    pub fn password(&self, master: &MasterKey) -> SecretString {
        match self.credential {
            Credential::Tenant { version } => master.tenant_database_password(self.tenant, version),
            Credential::Group { group, version } => master.group_database_password(group, version),
        }
    }
}

/// A placement whose tenant and organization are in a state to be served: only such a one is connected to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ActivePlacement(Arc<Placement>);

impl ActivePlacement {
    /// Vouches that the tenant may be served; to be called where its status was just read.
    pub fn vouch(placement: impl Into<Arc<Placement>>) -> Self {
        Self(placement.into())
    }

    /// Whether it is the very same reading.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The placement.
    pub fn get(&self) -> &Placement {
        &self.0
    }
}
