//! What is left of a purged tenant: a row that says that it was. Usage, operations and audit refer to it.

use rowhouse_database::{Columns, Described, PlatformTransaction, Sql};
use rowhouse_domain::{ActorKind, TenantId, TenantStatus};
use rowhouse_problem::Result;
use uuid::Uuid;

use crate::audit::{self, Change, Requester};
use crate::operations::Work;
use crate::organizations;
use crate::tenants::store;

const RESERVATIONS: &str = "select id from quota_reservations where tenant_id = $1 order by account_id, id";
const RELEASE: &str = "select quota_release($1)";
// An event like any other, so that logs and figures go on saying the same.
const LEAVE_ORGANIZATION: &str = "
    select usage_record(gen_random_uuid(), $1, clock_timestamp(), 'storage', -$2::bigint, 'bytes', '{\"purged\": true}')";
const EMPTY_ACCOUNTS: &str = "update accounts set used_storage = 0 where tenant_id = $1 and used_storage <> 0";
// The shares go with it, so that nothing is taken off twice.
const LEAVE_ACCOUNTS: &str = "
    with share as (delete from account_shares where tenant_id = $1 returning account_id, used_storage)
    update accounts set used_storage = greatest(0, accounts.used_storage - share.used_storage)
    from share where accounts.id = share.account_id";
const REVOKE_KEYS: &str = "update tenant_api_keys set revoked_at = now() where tenant_id = $1 and revoked_at is null";
const FORGET_WORK: &str = "delete from tenant_work where tenant_id = $1";
const FORGET_WALK: &str = "delete from object_walks where tenant_id = $1";
const FORGET_HOLD: &str = "delete from migration_holds where schema_id = $1";
const FORGET_ACCEPTANCE: &str = "delete from schema_acceptances where schema_id = $1";
const FORGET_STOCK: &str = "delete from stock_databases where id = $1 and is_taken";

/// Makes the tenant's row a tombstone in the transaction that ends the purge. False where it is no longer to be.
pub(crate) async fn bury(tx: &PlatformTransaction<'_>, work: &Work) -> Result<bool> {
    let id = work.tenant()?;
    let Some(found) = store::find(tx, id).await? else { return Ok(false) };
    // The order of locks that everybody keeps to.
    organizations::store::lock(tx, found.organization_id).await?;
    let before = store::lock(tx, id).await?;
    let moved = (TenantStatus::Deleted, TenantStatus::Purged);
    let Some(buried) = store::set_status(tx, id, moved, None, ActorKind::System, 0).await? else {
        return Ok(before.is_purged());
    };
    release_reservations(tx, id).await?;
    if before.used_storage > 0 {
        tx.query_one(LEAVE_ORGANIZATION, &[&id, &before.used_storage])
            .await
            .context("taking a tenant's storage off its organization's")?;
    }
    store::forget_place(tx, id).await?;
    for (sql, doing) in [
        (EMPTY_ACCOUNTS, "taking a tenant's storage off its accounts"),
        (LEAVE_ACCOUNTS, "taking a tenant's storage off its organization's accounts"),
        (REVOKE_KEYS, "revoking a purged tenant's keys"),
        (FORGET_WORK, "forgetting a purged tenant's work"),
        (FORGET_WALK, "forgetting when a purged tenant's objects were looked through"),
        (FORGET_HOLD, "forgetting that a purged tenant was held back"),
        (FORGET_ACCEPTANCE, "forgetting what was accepted of a purged tenant"),
        (FORGET_STOCK, "forgetting what a purged tenant took"),
    ] {
        tx.execute(sql, &[&id]).await.context(doing)?;
    }
    let change = Change::new("tenant.purged", id.as_uuid()).organization(before.organization_id).tenant(id);
    audit::append(tx, &Requester::SYSTEM, &change.before(&before).after(&buried)).await?;
    Ok(true)
}

/// Uploads whose outcome nobody will ever learn: what they would have added to is gone.
async fn release_reservations(tx: &PlatformTransaction<'_>, tenant: TenantId) -> Result<()> {
    let rows = tx.query(RESERVATIONS, &[&tenant]).await.context("listing a purged tenant's reservations")?;
    for row in &rows {
        let reservation: Uuid = row.column("id")?;
        tx.query_one(RELEASE, &[&reservation]).await.context("ending a reservation")?;
    }
    Ok(())
}
