//! What a tenant uses, as `saas_platform` counts it.

mod journal;
mod meter;
mod model;
mod record;
pub mod routes;
mod store;
mod tally;
mod views;

pub(crate) use meter::Last;
pub use meter::Meter;
pub(crate) use tally::Outgoing;
pub use tally::{Metered, Tally};
pub use views::UsageView;
