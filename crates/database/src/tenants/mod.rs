//! Connections to tenant data: thousands of tenants on a bounded number of connections.
//!
//! [`TenantPools`] finds the way to a tenant's data, the [ledger] of its cluster decides who may have a connection and
//! when, `cluster` does what the ledger says, and a [`TenantConnection`] is what a caller gets.

mod cluster;
mod connection;
mod door;
mod drivers;
mod group;
mod identity;
mod lease;
mod ledger;
mod loan;
mod placement;
mod pools;

pub use connection::{TenantConnection, TenantTransaction};
pub use drivers::Driving;
pub use lease::{Floors, Replica, replica_application};
pub use ledger::{Snapshot, TenantLoad};
pub(crate) use loan::Loan;
pub use placement::{ActivePlacement, Credential, Placement};
pub use pools::{ClusterLoad, TenantPools};
