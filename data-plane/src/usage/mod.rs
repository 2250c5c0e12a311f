//! What a tenant uses, as `saas_platform` counts it.

pub mod routes;
mod store;
mod views;

pub use views::UsageView;
