//! Asking for a purge, which is made hard to do by mistake.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{OperationId, TenantStatus};
use rowhouse_problem::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audit::{self, Change, Requester};
use crate::context::Context;
use crate::operations::{self, Kind};
use crate::organizations;
use crate::tenants::model::Tenant;
use crate::tenants::store;

/// The body of a purge.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PurgeTenant {
    /// The tenant's name, repeated.
    #[schema(example = "acme-prod")]
    pub(crate) name: String,
    /// Past the number of purges that an hour may see.
    #[serde(default)]
    pub(crate) force: bool,
    /// Only say what would go.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

// Held until the transaction ends, so that the count of those that came before is the last word.
const ONE_AT_A_TIME: &str = "select pg_advisory_xact_lock(hashtextextended('rowhouse.purge', 0))";
const LATELY: &str = "
    select count(*) as count, extract(epoch from min(created_at) + interval '1 hour' - now())::bigint as seconds
    from operations
    where kind = 'tenant_purge' and created_at > now() - interval '1 hour' and not input @> '{\"forced\": true}'
        and state <> 'cancelled'";
const FORCED: &str = "update operations set input = input || '{\"forced\": true}' where id = $1";

/// Records the purge of a deleted tenant, or finds the one that is under way.
pub(in crate::tenants) async fn request(
    context: &Context,
    requester: &Requester,
    tenant: &Tenant,
    force: bool,
) -> Result<OperationId> {
    let (id, organization) = (tenant.id, tenant.organization_id);
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    tx.query_one(ONE_AT_A_TIME, &[]).await.context("waiting for other purges")?;
    organizations::store::lock(&tx, organization).await?;
    let before = store::lock(&tx, id).await?;
    let Some(tenant) = store::begin_purge(&tx, id).await? else {
        return Err(refusal(&before));
    };
    if !before.is_being_purged && !force {
        within_limit(context, &tx).await?;
    }
    let operation = operations::store::enqueue(&tx, Kind::TenantPurge, id, organization, requester).await?;
    if force {
        tx.execute(FORCED, &[&operation]).await.context("recording that a purge was forced")?;
    }
    if !before.is_being_purged {
        let change = Change::new("tenant.purge", id.as_uuid()).organization(organization).tenant(id);
        audit::append(&tx, requester, &change.before(&before).after(&tenant)).await?;
    }
    tx.commit().await?;
    context.pulse.wake();
    Ok(operation)
}

/// Why this tenant can't be purged.
pub(in crate::tenants) fn refusal(tenant: &Tenant) -> Error {
    if tenant.status == TenantStatus::Purged {
        return Error::new(Code::Gone, format!("Tenant {} is purged already.", tenant.id));
    }
    let detail = format!("Only a deleted tenant can be purged; this one is {}. Delete it first.", tenant.status);
    Error::new(Code::InvalidTransition, detail).with("tenant_status", tenant.status.as_str())
}

async fn within_limit(context: &Context, tx: &impl Sql) -> Result<()> {
    let most = context.settings.purge.max_per_hour;
    let row = tx.query_one(LATELY, &[]).await.context("counting purges")?;
    if row.column::<i64>("count")? < most {
        return Ok(());
    }
    let seconds: Option<i64> = row.column("seconds")?;
    let detail = format!(
        "The last hour has seen {most} purges, as many as `purge.max_per_hour` allows. Wait, or repeat it with `force`."
    );
    let error = Error::new(Code::PurgeLimit, detail).with("limit", most);
    let seconds = u64::try_from(seconds.unwrap_or(3600).max(1)).unwrap_or(3600);
    Err(error.retry_after(std::time::Duration::from_secs(seconds)))
}
