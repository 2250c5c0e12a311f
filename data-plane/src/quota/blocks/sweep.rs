//! The end of blocks: closed in the tenant's data first, given back when nothing spent of them is left to count.

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_database::{ActivePlacement, PlatformPool, Sql};
use rowhouse_problem::Result;

use super::store;
use crate::quota;
use crate::work::WorkContext;

/// How soon a closed block is looked at again whose events are under way.
const AGAIN: Duration = Duration::from_secs(2);

/// Closes blocks of which nobody has heard for too long, and gives back what is left of closed ones.
///
/// # Errors
/// Whatever the server says; what was not done is found again.
pub(crate) async fn sweep(context: &WorkContext, placement: &ActivePlacement) -> Result<()> {
    let tenant = context.tenant(placement).await?;
    store::close_expired(&tenant).await?;
    settle(&tenant, &context.platform).await
}

/// When there will be something to sweep.
///
/// # Errors
/// Whatever the server says.
pub(crate) async fn next_end(tenant: &impl Sql) -> Result<Option<Timestamp>> {
    let Some((is_open, expires_at)) = store::next(tenant).await? else { return Ok(None) };
    if is_open { Ok(Some(expires_at)) } else { Ok(Timestamp::now().checked_add(AGAIN).ok()) }
}

/// Gives back what is left of closed blocks all of whose events have been counted. May run twice at the same time.
pub(super) async fn settle(tenant: &impl Sql, platform: &PlatformPool) -> Result<()> {
    for block in store::spent(tenant).await? {
        quota::release(platform, block).await?;
        store::delete(tenant, block).await?;
    }
    Ok(())
}
