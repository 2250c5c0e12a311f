//! Making a tenant's login, database or schema, as the steps of an operation: reserve → role → database → pin → migrate →
//! verify → activate.
//!
//! Each step asks the world first and may run twice. What is found under the names that a tenant will have is used
//! only after it proved to be that tenant's: its database or schema and its role carry its id in their comments.
//! What each step does depends on how the tenant is kept apart; what it leads to does not.

mod activate;
mod attempt;
mod clone;
mod database;
pub(crate) mod login;
pub(crate) mod pin;
mod reserve;
mod schema;
mod verify;

pub(crate) use activate::{activate, give_up};
pub(crate) use attempt::Attempt;
pub(crate) use clone::{clone_closed, clone_template};
pub(super) use reserve::place_for;
pub(crate) use schema::{ONE_AT_A_TIME, bring_to, finish_stock};

use rowhouse_domain::TenantId;

use super::model::{Place, Tenant};
use super::store;
use crate::clusters::{ClusterLink, OWNER};
use crate::context::Context;

/// The schema of a tenant that does not have one of its own.
pub(crate) const PUBLIC: &str = "public";

/// A tenant that is being made, and where.
struct Site<'a> {
    context: &'a Context,
    tenant: &'a Tenant,
    place: &'a Place,
    link: &'a ClusterLink,
}

impl Site<'_> {
    /// The comment on what belongs to this tenant.
    fn mark(&self) -> String {
        mark(self.tenant.id)
    }
}

/// The comment on what belongs to a tenant.
pub(crate) fn mark(tenant: TenantId) -> String {
    format!("rowhouse tenant {}", tenant.as_uuid())
}
