//! Connections to tenant data: thousands of tenants on a bounded number of connections.

mod budget;
mod connection;
mod group;
mod identity;
mod placement;
mod pools;

pub(crate) use budget::{Admission, Permit};
pub use connection::{TenantConnection, TenantTransaction};
pub(crate) use identity::Identity;
pub use placement::{ActivePlacement, Credential, Placement};
pub use pools::TenantPools;
