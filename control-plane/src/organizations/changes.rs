//! Changing organizations: each change, what it depends on and its audit row in one transaction.

use rowhouse_database::Sql;
use rowhouse_domain::{OrganizationId, OrganizationStatus};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ETag, IdempotencyKey, IfMatch};

use super::model::{CreateOrganization, NewOrganization, Organization, PatchOrganization};
use super::store;
use crate::audit::{self, Change};
use crate::authentication::Caller;
use crate::context::Context;
use crate::idempotency::{self, Begun};
use crate::{api_keys, tenants};

/// Makes an organization, once for each idempotency key.
pub(super) async fn create(
    context: &Context,
    caller: &Caller,
    key: &IdempotencyKey,
    body: CreateOrganization,
) -> Result<Organization> {
    let new = NewOrganization::parse(body.clone())?;
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let claim = match idempotency::begin(&tx, caller, key, "POST /v1/organizations", &body).await? {
        Begun::First(claim) => claim,
        Begun::Replay(recorded) => return idempotency::recall(recorded),
    };
    let organization = store::insert(&tx, &new, &caller.requester.actor).await?;
    let change = Change::new("organization.create", organization.id.as_uuid()).organization(organization.id);
    audit::append(&tx, &caller.requester, &change.after(&organization)).await?;
    claim.record(&tx, 201, &organization).await?;
    tx.commit().await?;
    Ok(organization)
}

/// Changes an organization.
pub(super) async fn update(
    context: &Context,
    caller: &Caller,
    id: OrganizationId,
    if_match: &IfMatch,
    patch: PatchOrganization,
) -> Result<Organization> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let mut current = store::lock(&tx, id).await?;
    if_match.check(&ETag::of_row(current.updated_at))?;
    let before = current.clone();
    if let Some(tier) = patch.tier().filter(|tier| *tier != current.subscription_tier) {
        let (old, new) = (store::tier(&tx, current.subscription_tier).await?, store::tier(&tx, tier).await?);
        current.follow_tier(&old, &new);
    }
    let wanted = patch.apply(&current)?;
    let largest = tenants::store::largest_quota(&tx, id).await?;
    if let Some((tenant, quota)) = largest.filter(|(_, quota)| *quota > wanted.storage_quota) {
        let detail = format!("Tenant {tenant} has a quota of {quota} bytes. Lower that first.");
        return Err(Error::new(Code::QuotaBelowTenant, detail).with("tenant_quota", quota));
    }
    let after = store::update(&tx, &wanted).await?;
    let change = Change::new("organization.update", id.as_uuid()).organization(id).before(&before).after(&after);
    audit::append(&tx, &caller.requester, &change).await?;
    tx.commit().await?;
    Ok(after)
}

/// Deletes an organization that has no tenants any more, and revokes its keys.
pub(super) async fn delete(context: &Context, caller: &Caller, id: OrganizationId, if_match: &IfMatch) -> Result<()> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let before = store::lock(&tx, id).await?;
    if_match.check(&ETag::of_row(before.updated_at))?;
    let live = tenants::store::count_live(&tx, id).await?;
    if live > 0 {
        let detail = format!("It has {live} tenants. Delete them first.");
        return Err(Error::new(Code::OrganizationHasTenants, detail).with("tenants", live));
    }
    api_keys::revoke_all_of(&tx, id).await?;
    store::delete(&tx, id).await?;
    let change = Change::new("organization.delete", id.as_uuid()).organization(id).before(&before);
    audit::append(&tx, &caller.requester, &change).await?;
    tx.commit().await
}

/// Locks an organization that something is to be added to: it must be in good standing.
pub(crate) async fn locked_active(tx: &impl Sql, id: OrganizationId) -> Result<Organization> {
    let organization = store::lock(tx, id).await?;
    match organization.status {
        OrganizationStatus::Active => Ok(organization),
        status @ (OrganizationStatus::Suspended | OrganizationStatus::Cancelled) => {
            let detail = format!("The organization is {status}, so nothing can be added to it.");
            Err(Error::new(Code::OrganizationSuspended, detail).with("organization_status", status.as_str()))
        }
    }
}
