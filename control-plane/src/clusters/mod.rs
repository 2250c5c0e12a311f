//! The PostgreSQL clusters that tenants live in.

mod changes;
mod health;
mod kept;
mod leases;
mod link;
pub(crate) mod lock;
mod model;
mod probe;
mod requests;
pub(crate) mod routes;
pub(crate) mod store;
mod turns;

pub(crate) use health::watch;
pub(crate) use kept::{Kept, KeptConnections};
pub(crate) use leases::bury;
pub(crate) use link::{ClusterLink, OWNER, all_links, find_link};
pub(crate) use lock::Lock;
pub(crate) use turns::{Turn, Turns};
