//! What a tenant uses, as `saas_platform` counts it.

mod journal;
mod meter;
mod model;
mod record;
pub mod routes;
mod sent;
mod store;
mod tally;
mod views;

pub(crate) use meter::Last;
pub use meter::Meter;
pub use sent::count_sent;
pub(crate) use tally::Outgoing;
pub use tally::Tally;
pub use views::UsageView;
