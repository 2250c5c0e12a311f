//! Changing a tenant's fields and its organization's own switch.

use rowhouse_domain::TenantStatus;
use rowhouse_problem::Result;
use rowhouse_web::{ETag, IfMatch};

use super::create::within_quota;
use super::lifecycle::{self, Moved};
use super::requests::PatchTenant;
use super::store;
use crate::audit::{self, Change};
use crate::authentication::TenantAccess;
use crate::context::Context;
use crate::{organizations, rate_limits};

/// Changes a tenant.
pub(super) async fn update(
    context: &Context,
    access: &TenantAccess,
    if_match: &IfMatch,
    patch: PatchTenant,
) -> Result<Moved> {
    rate_limits::may_set(&access.caller, patch.sets_rate_limit())?;
    let (id, organization) = (access.tenant.id, access.tenant.organization_id);
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let owner = organizations::store::lock(&tx, organization).await?;
    let before = store::lock(&tx, id).await?;
    if_match.check(&ETag::of_row(before.updated_at))?;
    before.require_alive()?;
    let wanted = patch.apply(&before)?;
    if wanted.storage_quota != before.storage_quota {
        within_quota(&owner, wanted.storage_quota)?;
    }
    let mut after = store::update(&tx, &wanted).await?;
    let mut operation = None;
    if wanted.status != before.status {
        // Suspended by the platform, it is not the organization's to switch on.
        if !matches!(before.status, TenantStatus::Active | TenantStatus::Inactive) {
            return Err(lifecycle::impossible(before.status, wanted.status));
        }
        let moved = lifecycle::move_to(context, &tx, &access.caller.requester, &before, wanted.status, None).await?;
        (after, operation) = (moved.tenant, moved.operation);
    }
    let change = Change::new("tenant.update", id.as_uuid()).organization(organization).tenant(id);
    audit::append(&tx, &access.caller.requester, &change.before(&before).after(&after)).await?;
    tx.commit().await?;
    if operation.is_some() {
        context.pulse.wake();
    }
    Ok(Moved { tenant: after, operation })
}
