//! What a tenant uses, as `saas_platform` counts it.

mod meter;
mod model;
pub mod routes;
mod store;
mod views;

pub use meter::{Counts, Meter, Metered};
pub use views::UsageView;
