//! From `Authorization` to a caller, and from a caller to what it may do.
//!
//! The middleware [`authenticate`] runs before a handler's arguments are read, so that a request without
//! rights learns nothing from what is wrong with its body. Guards are values that only it makes possible.

mod caller;
mod guards;
mod key_check;
mod middleware;
mod refusals;
mod store;

pub(crate) use caller::Caller;
pub(crate) use guards::{OrganizationAccess, PlatformAdmin, TenantAccess};
pub(crate) use middleware::authenticate;
pub(crate) use refusals::RefusalBudget;
