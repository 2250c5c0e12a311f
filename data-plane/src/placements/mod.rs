//! Where tenants are and whether they may be served, as `saas_platform` says.

mod store;

pub use store::find_active;
pub(crate) use store::from_row;
