//! Wishing for a tenant: one transaction records it and the operation that makes it. No database is made here.

use rowhouse_domain::{OperationId, TenantId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::IdempotencyKey;
use serde::{Deserialize, Serialize};

use super::requests::{CreateTenant, NewTenant};
use super::store;
use crate::audit::{self, Change};
use crate::authentication::OrganizationAccess;
use crate::clusters::{self, Cluster};
use crate::context::Context;
use crate::idempotency::{self, Begun};
use crate::operations::{self, Kind};
use crate::organizations::{self, Organization};

/// What was wished for. Recorded under the idempotency key, so that a replay waits for the same work.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Wished {
    pub(super) tenant: TenantId,
    pub(super) operation: OperationId,
}

/// Records a tenant and the operation that provisions it.
pub(super) async fn request(
    context: &Context,
    access: &OrganizationAccess,
    key: &IdempotencyKey,
    body: CreateTenant,
) -> Result<Wished> {
    let new = NewTenant::parse(body.clone())?;
    let organization = access.organization.id;
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let route = format!("POST /v1/organizations/{organization}/tenants");
    let claim = match idempotency::begin(&tx, &access.caller, key, &route, &body).await? {
        Begun::First(claim) => claim,
        Begun::Replay(recorded) => return idempotency::recall(recorded),
    };
    let owner = organizations::locked_active(&tx, organization).await?;
    within_quota(&owner, new.storage_quota)?;
    let cluster = match &new.cluster {
        Some(name) => Some(accepting(clusters::store::find_by_name(&tx, name).await?)?.id),
        None => None,
    };
    let count = store::count_live(&tx, organization).await?;
    // A name that is taken is the more telling of the two complaints, so the insert comes first.
    let requester = &access.caller.requester;
    let tenant = store::insert(&tx, organization, &new, cluster, &requester.actor).await?;
    within_limit(&owner, count)?;
    let operation = operations::store::enqueue(&tx, Kind::TenantProvision, tenant.id, organization, requester).await?;
    let change = Change::new("tenant.create", tenant.id.as_uuid()).organization(organization).tenant(tenant.id);
    audit::append(&tx, requester, &change.after(&tenant)).await?;
    let wished = Wished { tenant: tenant.id, operation };
    claim.record(&tx, 201, &wished).await?;
    tx.commit().await?;
    context.pulse.wake();
    Ok(wished)
}

/// A tenant's quota is at most its organization's; together they may promise more than there is.
pub(super) fn within_quota(organization: &Organization, quota: Option<i64>) -> Result<()> {
    let most = organization.storage_quota;
    if quota.is_some_and(|quota| quota > most) {
        return Err(Error::invalid_field(
            "/storage_quota",
            format!("must be at most the organization's, {most} bytes"),
        ));
    }
    Ok(())
}

/// One more tenant than `count` is within the organization's limit.
pub(super) fn within_limit(organization: &Organization, count: i64) -> Result<()> {
    let limit = i64::from(organization.max_tenants);
    if count < limit {
        return Ok(());
    }
    let detail = format!("The organization may have {limit} tenants. Delete one, or raise `max_tenants`.");
    Err(Error::new(Code::LimitReached, detail).with("limit", limit).with("limit_name", "max_tenants"))
}

fn accepting(cluster: Option<Cluster>) -> Result<Cluster> {
    cluster
        .filter(|cluster| cluster.accepting && cluster.status == "active")
        .ok_or_else(|| Error::invalid_field("/cluster", "must be the name of a cluster that accepts tenants"))
}
