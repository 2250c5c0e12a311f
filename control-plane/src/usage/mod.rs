//! What an organization and its tenants used.

mod model;
pub(crate) mod routes;
mod store;
