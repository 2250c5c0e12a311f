//! The PostgreSQL clusters that tenants live in.

mod model;
pub(crate) mod routes;
pub(crate) mod store;

pub(crate) use model::Cluster;
