//! Moving tenants between states: suspend, resume, delete, restore.
//!
//! The row changes by compare-and-set, along the one table in `TenantStatus::can_become`. What that means for
//! the login and its sessions is an operation of its own, recorded in the same transaction.
//!
//! A suspension belongs to who made it. An organization lifts its own only; the platform lifts any, and makes an
//! organization's its own by suspending again.

use rowhouse_database::Sql;
use rowhouse_domain::{ActorKind, OperationId, TenantStatus};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ETag, IfMatch};

use super::create::within_limit;
use super::model::Tenant;
use super::store;
use crate::audit::{self, Change, Requester};
use crate::authentication::TenantAccess;
use crate::context::Context;
use crate::operations::{self, Kind};
use crate::organizations;

/// A tenant that was moved, and the operation that makes it true in PostgreSQL.
pub(super) struct Moved {
    pub(super) tenant: Tenant,
    pub(super) operation: Option<OperationId>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Suspend,
    Resume,
    Delete,
    Restore,
}

impl Wish {
    const fn action(self) -> &'static str {
        match self {
            Self::Suspend => "tenant.suspend",
            Self::Resume => "tenant.resume",
            Self::Delete => "tenant.delete",
            Self::Restore => "tenant.restore",
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Suspend => "suspended",
            Self::Resume => "resumed",
            Self::Delete => "deleted",
            Self::Restore => "restored",
        }
    }

    /// Where the wish leads from the state that the tenant is in, where who has it may go there.
    fn target(self, tenant: &Tenant, by: ActorKind) -> Result<TenantStatus> {
        use TenantStatus::{Active, Deleted, Failed, Inactive, Provisioning, Purged, Suspended};
        if self == Self::Resume && tenant.status == Suspended && !may_lift(tenant, by) {
            let detail = "The platform suspended the tenant, so only the platform can resume it. Ask its operator.";
            return Err(Error::new(Code::InvalidTransition, detail).with("tenant_status", tenant.status.as_str()));
        }
        let to = match (self, tenant.status) {
            (Self::Suspend, Active | Inactive | Suspended | Failed | Provisioning) => Suspended,
            (Self::Delete, _) => Deleted,
            // Provisioning that gave up is tried again.
            (Self::Resume, Failed) => Provisioning,
            (Self::Resume, Active | Inactive | Provisioning | Suspended) => Active,
            (Self::Restore, Deleted) => tenant.status_before_delete.unwrap_or(Active),
            // Only a restore brings back what was deleted.
            (Self::Suspend | Self::Resume, Deleted | Purged) | (Self::Restore, _) => {
                return Err(not_from(self, tenant.status));
            }
        };
        // Provisioning ends by its own operation only.
        let possible = tenant.status.can_become(to) && !(tenant.status == Provisioning && to == Active);
        if possible { Ok(to) } else { Err(not_from(self, tenant.status)) }
    }
}

/// Whether a suspension is the caller's to lift.
fn may_lift(tenant: &Tenant, by: ActorKind) -> bool {
    by == ActorKind::PlatformKey || tenant.suspended_by_kind == Some(ActorKind::OrganizationKey)
}

/// Whether the platform suspends what its organization has suspended itself.
fn takes_over(wish: Wish, tenant: &Tenant, by: ActorKind) -> bool {
    wish == Wish::Suspend
        && tenant.status == TenantStatus::Suspended
        && by == ActorKind::PlatformKey
        && tenant.suspended_by_kind == Some(ActorKind::OrganizationKey)
}

fn not_from(wish: Wish, status: TenantStatus) -> Error {
    let detail = match (wish, status) {
        (Wish::Restore, TenantStatus::Deleted) => {
            "It was deleted before it was ready: there is nothing to restore.".to_owned()
        }
        (wish, status) => format!("A tenant that is {status} can't be {}.", wish.done()),
    };
    Error::new(Code::InvalidTransition, detail).with("tenant_status", status.as_str())
}

/// The state can't be reached from the one that the tenant is in.
pub(super) fn impossible(from: TenantStatus, to: TenantStatus) -> Error {
    Error::new(Code::InvalidTransition, format!("A tenant that is {from} can't become {to}."))
        .with("tenant_status", from.as_str())
}

/// Carries a wish out. What is deleted is not there to be deleted.
pub(super) async fn fulfil(
    context: &Context,
    access: &TenantAccess,
    if_match: &IfMatch,
    wish: Wish,
    reason: Option<&str>,
) -> Result<Moved> {
    let (id, organization) = (access.tenant.id, access.tenant.organization_id);
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let owner = organizations::store::lock(&tx, organization).await?;
    let before = store::lock(&tx, id).await?;
    if_match.check(&ETag::of_row(before.updated_at))?;
    if wish == Wish::Delete && before.status == TenantStatus::Deleted {
        return Err(Error::not_found("tenant", id));
    }
    let by = access.caller.requester.actor.kind;
    if takes_over(wish, &before, by) {
        let tenant = store::suspend_again(&tx, id, by, reason).await?;
        let change = Change::new(wish.action(), id.as_uuid()).organization(organization).tenant(id);
        audit::append(&tx, &access.caller.requester, &change.before(&before).after(&tenant)).await?;
        tx.commit().await?;
        return Ok(Moved { tenant, operation: None });
    }
    let to = wish.target(&before, by)?;
    if wish == Wish::Restore {
        if before.is_being_purged {
            return Err(Error::new(Code::Gone, format!("The purge of tenant {id} has begun: its data is going.")));
        }
        if by == ActorKind::OrganizationKey && before.deleted_by_kind != Some(ActorKind::OrganizationKey) {
            let detail = "The platform deleted the tenant, so only the platform can restore it. Ask its operator.";
            return Err(Error::new(Code::InvalidTransition, detail).with("tenant_status", before.status.as_str()));
        }
        within_limit(&owner, store::count_live(&tx, organization).await?)?;
        if before.storage_quota.is_some_and(|quota| quota > owner.storage_quota) {
            let detail = "The tenant's quota is larger than its organization's is now. Raise that first.";
            return Err(Error::new(Code::QuotaBelowTenant, detail));
        }
    }
    let moved = move_to(context, &tx, &access.caller.requester, &before, to, reason).await?;
    let change = Change::new(wish.action(), id.as_uuid()).organization(organization).tenant(id);
    audit::append(&tx, &access.caller.requester, &change.before(&before).after(&moved.tenant)).await?;
    tx.commit().await?;
    context.pulse.wake();
    Ok(moved)
}

/// Moves a locked tenant, and records the operation that follows from it. The caller audits.
pub(super) async fn move_to(
    context: &Context,
    tx: &impl Sql,
    requester: &Requester,
    before: &Tenant,
    to: TenantStatus,
    reason: Option<&str>,
) -> Result<Moved> {
    if !before.status.can_become(to) {
        return Err(impossible(before.status, to));
    }
    let retention = context.settings.tenancy.retention_days;
    let tenant = store::set_status(tx, before.id, (before.status, to), reason, requester.actor.kind, retention)
        .await?
        .ok_or_else(|| Error::internal("a locked tenant changed its status"))?;
    recount_workspaces(tx, before, &tenant).await?;
    let kind = if to == TenantStatus::Provisioning { Kind::TenantProvision } else { Kind::TenantLogin };
    let operation = operations::store::enqueue(tx, kind, tenant.id, tenant.organization_id, requester).await?;
    Ok(Moved { tenant, operation: Some(operation) })
}

/// The workspaces of a deleted tenant leave its organization's count; a restore needs room for them again.
async fn recount_workspaces(tx: &impl Sql, before: &Tenant, after: &Tenant) -> Result<()> {
    let (organization, count) = (after.organization_id, after.used_workspaces);
    match (before.deleted_at, after.deleted_at) {
        (None, Some(_)) => organizations::store::remove_workspaces(tx, organization, count).await,
        (Some(_), None) if organizations::store::add_workspaces(tx, organization, count).await? => Ok(()),
        (Some(_), None) => {
            let detail = format!("The tenant has {count} workspaces, more than the organization has room for.");
            Err(Error::new(Code::LimitReached, detail).with("limit_name", "max_workspaces"))
        }
        (None, None) | (Some(_), Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(status: TenantStatus, before_delete: Option<TenantStatus>) -> Tenant {
        let mut tenant: Tenant = serde_json::from_value(serde_json::json!({
            "id": rowhouse_domain::TenantId::new(), "organization_id": rowhouse_domain::OrganizationId::new(),
            "name": "a", "type": "standard", "status": status, "is_active": false, "isolation": "dedicated",
            "schema_version": 1, "used_storage": 0, "reserved_storage": 0, "used_workspaces": 0, "settings": {}, "metadata": {},
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"
        }))
        .unwrap();
        tenant.status_before_delete = before_delete;
        tenant
    }

    #[test]
    fn wishes_lead_where_they_should() {
        use TenantStatus::{Active, Deleted, Failed, Inactive, Provisioning, Suspended};
        for (wish, from, before_delete, expected) in [
            (Wish::Suspend, Active, None, Some(Suspended)),
            (Wish::Suspend, Suspended, None, None),
            (Wish::Resume, Suspended, None, Some(Active)),
            (Wish::Resume, Active, None, None),
            (Wish::Resume, Failed, None, Some(Provisioning)),
            (Wish::Resume, Provisioning, None, None),
            (Wish::Resume, Deleted, Some(Active), None),
            (Wish::Delete, Provisioning, None, Some(Deleted)),
            (Wish::Restore, Deleted, Some(Suspended), Some(Suspended)),
            (Wish::Restore, Deleted, Some(Inactive), Some(Inactive)),
            // It never had a database.
            (Wish::Restore, Deleted, Some(Failed), None),
            (Wish::Restore, Active, None, None),
        ] {
            let by = ActorKind::PlatformKey;
            assert_eq!(wish.target(&tenant(from, before_delete), by).ok(), expected, "{wish:?} from {from}");
        }
    }

    #[test]
    fn a_suspension_is_lifted_by_who_made_it_or_by_the_platform() {
        use ActorKind::{OrganizationKey, PlatformKey, System, User};
        for (suspended_by, resumed_by, allowed) in [
            (OrganizationKey, OrganizationKey, true),
            (OrganizationKey, PlatformKey, true),
            (PlatformKey, PlatformKey, true),
            (PlatformKey, OrganizationKey, false),
            (System, OrganizationKey, false),
            (PlatformKey, User, false),
        ] {
            let mut suspended = tenant(TenantStatus::Suspended, None);
            suspended.suspended_by_kind = Some(suspended_by);
            let outcome = Wish::Resume.target(&suspended, resumed_by);
            assert_eq!(outcome.is_ok(), allowed, "{suspended_by} then {resumed_by}");
            let takes_over = (suspended_by, resumed_by) == (OrganizationKey, PlatformKey);
            assert_eq!(super::takes_over(Wish::Suspend, &suspended, resumed_by), takes_over);
        }
    }
}
