//! Which version new tenants are born at.

use rowhouse_database::Sql;
use rowhouse_problem::Result;

use super::store;
use crate::context::Context;

/// Where the fleet is or is going: the target of the latest run over all schemas that nobody cancelled. The newest that this
/// release has, where there was none, or that one is a later release's.
///
/// Whoever makes a tenant, a shared database, a stock or a template asks this, and a run does not end while one is being made
/// by somebody who may have asked before it was there.
pub(crate) async fn birth_version(context: &Context, db: &impl Sql) -> Result<u32> {
    let newest = context.tenant_migrations.latest();
    let target = store::fleet_target(db).await?.and_then(|target| u32::try_from(target).ok());
    Ok(target.map_or(newest, |target| target.min(newest)))
}
