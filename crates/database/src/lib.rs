//! Everything that opens a connection to PostgreSQL.
//!
//! [`PlatformPool`] reaches `saas_platform`, [`TenantPools`] reaches tenant data, [`AdminConnection`]
//! makes and changes databases, [`Listener`] hears notices. No other crate connects, and none shows its raw client.

mod admin;
mod bootstrap;
mod cancel;
mod error;
mod identifier;
mod link;
mod listener;
mod platform;
mod server;
mod session;
mod sql;
mod tenants;
mod tls;
mod wire;

pub use admin::{AdminConnection, ServerAddress};
pub use bootstrap::{BootstrapPasswords, BootstrapSection, Purpose, bootstrap, bootstrap_sections, platform_schema};
pub use error::{Described, QueryError, is_cut_off, sqlstate_behind};
pub use identifier::{quote_ident, quote_literal};
pub use listener::Listener;
pub use platform::{PlatformConnection, PlatformPool, PlatformTransaction};
pub use server::{Server, ServerTls};
pub use sql::{Columns, Parameters, Sql};
pub use tenants::{
    ActivePlacement, ClusterLoad, Credential, Driving, Floors, Placement, Replica, Snapshot, TenantConnection,
    TenantLoad, TenantPools, TenantTransaction, replica_application,
};
pub use tls::Tls;
