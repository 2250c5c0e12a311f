//! Which version new tenants are born at.

use rowhouse_database::Sql;
use rowhouse_problem::{Error, Result};

use super::store;
use crate::context::Context;

/// Where the fleet is or is going: the target of the latest run over all schemas that nobody cancelled. The newest that this
/// release has, where there was none, or that one is a later release's. Or the newest below it that all data planes serve which
/// are up: nobody is born to be refused, unless that run ignores which versions are served. Runs find what stays behind.
///
/// Whoever makes a tenant, a shared database, a stock or a template asks this, and a run does not end while one is being made
/// by somebody who may have asked before it was there.
pub(crate) async fn birth_version(context: &Context, db: &impl Sql) -> Result<u32> {
    let newest = i32::try_from(context.tenant_migrations.latest()).map_err(Error::internal)?;
    u32::try_from(store::born_at(db, newest).await?).map_err(Error::internal)
}
