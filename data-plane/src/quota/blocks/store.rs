//! Tenant table `quota_blocks`. Owns its SQL; decides nothing.

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::ReservationId;
use rowhouse_problem::Result;

const INSERT: &str = "
    insert into quota_blocks (id, bytes, expires_at) values ($1, $2, now() + make_interval(secs => $3))";

/// Says that a block may be spent.
pub(super) async fn insert(tenant: &impl Sql, block: ReservationId, bytes: i64, ttl: Duration) -> Result<()> {
    tenant.execute(INSERT, &[&block, &bytes, &ttl.as_secs_f64()]).await.context("recording a block of quota")?;
    Ok(())
}

const SHARE: &str = "
    select from quota_blocks where tenant_id = app_tenant_id() and id = $1 and state = 'open' for key share";

/// Keeps a block open until the transaction ends, which spends of it. Says whether it was; otherwise there must be no commit.
///
/// # Errors
/// Whatever the server says.
pub(crate) async fn share(transaction: &impl Sql, block: ReservationId) -> Result<bool> {
    Ok(transaction.query_opt(SHARE, &[&block]).await.context("spending of a block of quota")?.is_some())
}

const EXTEND: &str = "
    update quota_blocks set expires_at = now() + make_interval(secs => $2)
    where tenant_id = app_tenant_id() and id = $1 and state = 'open'";

/// A sign of life. Says whether the block was still open.
pub(super) async fn extend(tenant: &impl Sql, block: ReservationId, ttl: Duration) -> Result<bool> {
    Ok(tenant.execute(EXTEND, &[&block, &ttl.as_secs_f64()]).await.context("prolonging a block of quota")? == 1)
}

// The lock first, which waits for those who share it; prolonging does not.
const CLOSE: &str = "
    with block as materialized (
        select id from quota_blocks where tenant_id = app_tenant_id() and id = $1 and state = 'open' for update
    )
    update quota_blocks set state = 'closed' from block where quota_blocks.tenant_id = app_tenant_id() and quota_blocks.id = block.id";

/// Ends the spending of a block, after those who are at it.
pub(super) async fn close(tenant: &impl Sql, block: ReservationId) -> Result<()> {
    tenant.execute(CLOSE, &[&block]).await.context("closing a block of quota")?;
    Ok(())
}

const CLOSE_EXPIRED: &str = "
    with block as materialized (
        select id from quota_blocks where tenant_id = app_tenant_id() and state = 'open' and expires_at <= now() for update
    )
    update quota_blocks set state = 'closed' from block where quota_blocks.tenant_id = app_tenant_id() and quota_blocks.id = block.id";

/// The same for blocks whose holder is taken for dead.
pub(super) async fn close_expired(tenant: &impl Sql) -> Result<()> {
    tenant.execute(CLOSE_EXPIRED, &[]).await.context("closing blocks of quota")?;
    Ok(())
}

// An event is queued by the transaction that spends, and deleted when it has been counted.
const SPENT: &str = "
    select block.id from quota_blocks block
    where block.tenant_id = app_tenant_id() and block.state = 'closed' and not exists (
        select from jobs where jobs.tenant_id = app_tenant_id() and jobs.subject_id = block.id and jobs.kind = 'usage')";

/// Closed blocks of which everything that was spent has been counted.
pub(super) async fn spent(tenant: &impl Sql) -> Result<Vec<ReservationId>> {
    let rows = tenant.query(SPENT, &[]).await.context("looking for spent blocks of quota")?;
    rows.iter().map(|row| row.column("id")).collect()
}

const DELETE: &str = "delete from quota_blocks where tenant_id = app_tenant_id() and id = $1 and state = 'closed'";

/// Nothing is left of a block.
pub(super) async fn delete(tenant: &impl Sql, block: ReservationId) -> Result<()> {
    tenant.execute(DELETE, &[&block]).await.context("deleting a block of quota")?;
    Ok(())
}

const NEXT: &str = "
    select state = 'open' as is_open, expires_at from quota_blocks where tenant_id = app_tenant_id()
    order by state, expires_at limit 1";

/// The block that is to be looked at next: a closed one, or the open one that expires first.
pub(super) async fn next(tenant: &impl Sql) -> Result<Option<(bool, Timestamp)>> {
    let row = tenant.query_opt(NEXT, &[]).await.context("looking for the next block of quota")?;
    row.map(|row| Ok((row.column("is_open")?, row.column("expires_at")?))).transpose()
}
