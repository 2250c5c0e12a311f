//! How provisioning ends: with an active tenant, or with one that failed and says so.

use rowhouse_database::PlatformTransaction;
use rowhouse_domain::{ActorKind, TenantStatus};
use rowhouse_problem::{Error, Result};

use super::store;
use crate::audit::{self, Change, Requester};
use crate::operations::Work;

/// The tenant serves from the moment at which the operation ends. False where somebody decided otherwise meanwhile.
pub(crate) async fn activate(tx: &PlatformTransaction<'_>, work: &Work) -> Result<bool> {
    let id = work.tenant()?;
    let moved = (TenantStatus::Provisioning, TenantStatus::Active);
    let active = store::set_status(tx, id, moved, None, ActorKind::System, 0).await?;
    let Some(active) = active else {
        // Done before, where the record of it was lost; or something else was decided.
        let found = store::find(tx, id).await?;
        return Ok(found.is_some_and(|tenant| tenant.status == TenantStatus::Active));
    };
    let change = Change::new("tenant.activate", id.as_uuid()).organization(active.organization_id).tenant(id);
    audit::append(tx, &Requester::SYSTEM, &change.after(&active)).await?;
    Ok(true)
}

/// Marks the tenant as failed in the transaction that ends the operation. It can be tried again (`resume`) or deleted.
pub(crate) async fn give_up(tx: &PlatformTransaction<'_>, work: &Work, error: &Error) -> Result<()> {
    let id = work.tenant()?;
    let reason = format!("Provisioning was given up ({}). Resume the tenant to try again.", error.code().as_str());
    let moved = (TenantStatus::Provisioning, TenantStatus::Failed);
    let failed = store::set_status(tx, id, moved, Some(&reason), ActorKind::System, 0).await?;
    let Some(failed) = failed else { return Ok(()) };
    let change = Change::new("tenant.fail", id.as_uuid()).organization(failed.organization_id).tenant(id);
    audit::append(tx, &Requester::SYSTEM, &change.after(&failed)).await
}
