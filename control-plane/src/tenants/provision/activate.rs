//! How provisioning ends: with an active tenant, or with one that failed and says so.

use rowhouse_database::PlatformTransaction;
use rowhouse_domain::{ActorKind, TenantStatus};
use rowhouse_problem::{Error, Result};

use super::Site;
use crate::audit::{self, Change, Requester};
use crate::operations::{Outcome, Work};
use crate::tenants::store;

/// The tenant serves, unless somebody decided otherwise in the meantime.
pub(super) async fn ensure(site: &Site<'_>) -> Result<Outcome> {
    let id = site.tenant.id;
    let mut connection = site.work.context.platform.get().await?;
    let tx = connection.transaction().await?;
    let (from, to) = (TenantStatus::Provisioning, TenantStatus::Active);
    let Some(active) = store::set_status(&tx, id, from, to, None, ActorKind::System).await? else {
        drop(tx);
        super::login::sync_login(site.work).await?;
        return Ok(Outcome::Obsolete);
    };
    let change = Change::new("tenant.activate", id.as_uuid()).organization(active.organization_id).tenant(id);
    audit::append(&tx, &Requester::SYSTEM, &change.before(&site.tenant).after(&active)).await?;
    tx.commit().await?;
    Ok(Outcome::Done)
}

/// Marks the tenant as failed in the transaction that ends the operation.
pub(super) async fn give_up(tx: &PlatformTransaction<'_>, work: &Work, error: &Error) -> Result<()> {
    let id = work.tenant()?;
    let reason = format!("Provisioning was given up ({}). Resume the tenant to try again.", error.code().as_str());
    let (from, to) = (TenantStatus::Provisioning, TenantStatus::Failed);
    let failed = store::set_status(tx, id, from, to, Some(&reason), ActorKind::System).await?;
    let Some(failed) = failed else { return Ok(()) };
    let change = Change::new("tenant.fail", id.as_uuid()).organization(failed.organization_id).tenant(id);
    audit::append(tx, &Requester::SYSTEM, &change.after(&failed)).await
}
