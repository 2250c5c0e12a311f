//! Tenants: made, changed, switched off and on, deleted and brought back.

mod changes;
mod create;
mod inspection;
mod lifecycle;
pub(crate) mod login;
mod model;
pub(crate) mod provision;
pub(crate) mod purge;
mod recent;
mod requests;
pub(crate) mod routes;
pub(crate) mod store;

pub(crate) use inspection::RecentLooks;
pub(crate) use login::end_sessions_of;
pub(crate) use model::{Place, Tenant};
pub(crate) use purge::purge_overdue;
