//! Members: the people of an organization, from their invitation on.

mod changes;
mod model;
pub(crate) mod routes;
mod store;
