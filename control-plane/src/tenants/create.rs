//! Wishing for a tenant: one transaction records it and the operation that makes it. No database is made here.

use std::sync::Arc;

use rowhouse_database::Sql;
use rowhouse_domain::{ClusterId, Isolation, OperationId, TenantId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::IdempotencyKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::Tenant;
use super::provision;
use super::requests::{CreateTenant, NewTenant};
use super::store::{self, Taken};
use crate::audit::{self, Change, Requester};
use crate::authentication::OrganizationAccess;
use crate::clusters;
use crate::context::Context;
use crate::fleet::birth_version;
use crate::idempotency::{self, Begun};
use crate::operations::{self, Claimed, Hand, Hands, Kind};
use crate::organizations::{self, Organization};
use crate::{rate_limits, stock};

/// What was wished for. Recorded under the idempotency key, so that a replay waits for the same work.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Wished {
    pub(super) tenant: TenantId,
    pub(super) operation: OperationId,
}

/// Records a tenant and the operation that provisions it.
pub(super) async fn request(
    context: &Arc<Context>,
    access: &OrganizationAccess,
    key: &IdempotencyKey,
    body: CreateTenant,
) -> Result<Wished> {
    rate_limits::may_set(&access.caller, body.sets_rate_limit())?;
    let mut new = NewTenant::parse(body.clone())?;
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
    let isolation = isolation(context, &owner, new.isolation)?;
    let (cluster, count) = tokio::try_join!(cluster(&tx, &new), store::count_live(&tx, organization))?;
    let mut taken = None;
    if isolation == Isolation::Dedicated
        && let Some(cluster) = cluster
    {
        let schema_version = i32::try_from(birth_version(context, &tx).await?).map_err(Error::internal)?;
        // What waits in the stock was made for an id; whoever takes it takes the id too.
        if let Some(id) = stock::store::take(&tx, cluster, schema_version).await? {
            new.id = id;
            taken = Some(Taken { place: provision::place_for(id, new.name.as_str(), cluster)?, schema_version });
        }
    }
    // A name that is taken is the more telling of the two complaints, so the insert comes first.
    let requester = &access.caller.requester;
    let tenant = store::insert(&tx, organization, &new, isolation, cluster, taken.as_ref(), &requester.actor).await?;
    within_limit(&owner, count)?;
    let change = Change::new("tenant.create", tenant.id.as_uuid()).organization(organization).tenant(tenant.id);
    let change = change.after(&tenant);
    let (begun, ()) = tokio::try_join!(
        begin(context, &tx, &tenant, requester), //
        audit::append(&tx, requester, &change),
    )?;
    let wished = Wished { tenant: tenant.id, operation: begun.operation() };
    claim.record(&tx, 201, &wished).await?;
    tx.commit().await?;
    begun.go_on(context);
    if taken.is_some() {
        context.stock_taken.notify_one();
    }
    Ok(wished)
}

/// An operation that waits, or that this process has a hand free for.
enum Provisioning {
    Enqueued(OperationId),
    Claimed(Box<Claimed>, Hand),
}

impl Provisioning {
    fn operation(&self) -> OperationId {
        match self {
            Self::Enqueued(id) => *id,
            Self::Claimed(claimed, _) => claimed.id,
        }
    }

    /// To be called after the commit.
    fn go_on(self, context: &Arc<Context>) {
        match self {
            Self::Enqueued(_) => context.pulse.wake(),
            Self::Claimed(claimed, hand) => Hands::carry_out(context, *claimed, hand),
        }
    }
}

async fn begin(context: &Context, tx: &impl Sql, tenant: &Tenant, requester: &Requester) -> Result<Provisioning> {
    let (kind, id, organization) = (Kind::TenantProvision, tenant.id, tenant.organization_id);
    let Some(hand) = context.hands.free() else {
        let queued = operations::store::enqueue(tx, kind, id, organization, requester).await?;
        return Ok(Provisioning::Enqueued(queued));
    };
    let claimed = operations::store::enqueue_claimed(tx, kind, id, organization, requester, &hand).await?;
    Ok(Provisioning::Claimed(Box::new(claimed), hand))
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

/// How the tenant is kept apart: as asked for, or as the organization's tier has it; within what the tier is allowed.
fn isolation(context: &Context, owner: &Organization, wanted: Option<Isolation>) -> Result<Isolation> {
    let (tenancy, tier) = (&context.settings.tenancy, owner.subscription_tier);
    let isolation = wanted.unwrap_or_else(|| tenancy.default_isolation(tier));
    if tenancy.allows(tier, isolation) {
        return Ok(isolation);
    }
    let allowed: Vec<&str> =
        Isolation::ALL.iter().filter(|level| tenancy.allows(tier, **level)).map(|level| level.as_str()).collect();
    let detail = format!("Tenants of tier `{tier}` may be kept apart as {}, not as `{isolation}`.", allowed.join(", "));
    Err(Error::new(Code::TierLimit, detail).with("tier", tier.as_str()))
}

/// The cluster that was asked for, or the one that a new tenant belongs on. None where there is none to be had now: the
/// operation waits for one.
async fn cluster(tx: &impl Sql, new: &NewTenant) -> Result<Option<ClusterId>> {
    if let Some(name) = &new.cluster {
        let found = clusters::store::find_by_name(tx, name).await?;
        let accepting = found.filter(|cluster| cluster.accepting && cluster.status == "active");
        let labelled = accepting.filter(|cluster| has_labels(&cluster.labels, new.cluster_labels.as_ref()));
        let complaint = "must be the name of a cluster that accepts tenants and has the labels asked for";
        return labelled.map(|cluster| Some(cluster.id)).ok_or_else(|| Error::invalid_field("/cluster", complaint));
    }
    let chosen = clusters::store::choose(tx, new.cluster_labels.as_ref()).await?;
    if chosen.is_none() && new.cluster_labels.is_some() {
        let complaint = "no cluster that accepts tenants has all of these labels";
        return Err(Error::invalid_field("/cluster_labels", complaint));
    }
    Ok(chosen)
}

fn has_labels(labels: &Value, wanted: Option<&Value>) -> bool {
    let wanted = wanted.and_then(Value::as_object);
    wanted.is_none_or(|wanted| wanted.iter().all(|(label, value)| labels.get(label) == Some(value)))
}
