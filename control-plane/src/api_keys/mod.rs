//! API keys of platform admins, organizations and tenants: made, listed, revoked. Checking them is `authentication`'s.

mod answers;
mod changes;
mod model;
pub(crate) mod organization_routes;
pub(crate) mod platform_routes;
mod store;
pub(crate) mod tenant_routes;

pub(crate) use changes::issue_platform_key;
pub(crate) use store::revoke_all_of;
