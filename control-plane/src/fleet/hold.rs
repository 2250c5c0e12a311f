//! Holding a tenant's schema back.

use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};

use super::model::Hold;
use super::store;
use crate::audit::{self, Change};
use crate::authentication::Caller;
use crate::context::Context;
use crate::input::{Complaints, text};

/// Holds a tenant's schema back from now on; what a worker has begun with is finished.
pub(super) async fn put(
    context: &Context,
    caller: &Caller,
    tenant: TenantId,
    reason: &str,
    version: Option<u32>,
) -> Result<Hold> {
    let mut complaints = Complaints::default();
    let reason = complaints.take("/reason", text(reason, 1000));
    let newest = context.tenant_migrations.latest();
    if let Some(version) = version {
        let detail = format!("must be between 1 and {newest}");
        complaints.require("/version", (1..=newest).contains(&version), detail);
    }
    let reason = complaints.finish_with(reason)?;
    let version = version.map(i32::try_from).transpose().map_err(Error::internal)?;
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let schema = store::schema_of(&tx, tenant).await?.ok_or_else(|| Error::not_found("tenant", tenant))?;
    let hold = store::hold(&tx, schema, &reason, version, &caller.requester).await?;
    let change = Change::new("migration_hold.put", schema).tenant(tenant).after(&hold);
    audit::append(&tx, &caller.requester, &change).await?;
    tx.commit().await?;
    Ok(hold)
}

/// Lets it go with the others again; that it was not held back is no error.
pub(super) async fn remove(context: &Context, caller: &Caller, tenant: TenantId) -> Result<()> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let schema = store::schema_of(&tx, tenant).await?.ok_or_else(|| Error::not_found("tenant", tenant))?;
    if store::release(&tx, schema).await? {
        let change = Change::new("migration_hold.delete", schema).tenant(tenant);
        audit::append(&tx, &caller.requester, &change).await?;
    }
    tx.commit().await
}
