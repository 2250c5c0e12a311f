//! The PostgreSQL clusters that tenants live in.

mod model;
pub(crate) mod routes;
pub(crate) mod store;
mod turns;

pub(crate) use model::Cluster;
pub(crate) use turns::{Turn, Turns};
