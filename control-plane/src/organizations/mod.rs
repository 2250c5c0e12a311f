//! Organizations: the customers of the product that runs Rowhouse.

mod changes;
mod model;
pub(crate) mod routes;
pub(crate) mod store;

pub(crate) use changes::locked_active;
pub(crate) use model::Organization;
