//! Deleted tenants whose retention is over go by themselves. The leader's work.

use rowhouse_problem::{Code, Result};

use super::request::request;
use crate::audit::Requester;
use crate::context::Context;
use crate::tenants::store;

/// Requests the purge of those whose time is over, as many as an hour may see.
pub(crate) async fn purge_overdue(context: &Context) -> Result<()> {
    let limit = context.settings.purge.max_per_hour.max(0);
    let overdue = store::list_overdue(&context.platform.get().await?, limit).await?;
    for id in overdue {
        let tenant = store::find(&context.platform.get().await?, id).await?;
        let Some(tenant) = tenant else { continue };
        match request(context, &Requester::SYSTEM, &tenant, false).await {
            Ok(operation) => tracing::info!(tenant.id = %id, %operation, "the tenant's retention is over"),
            // The next hour has room again; and what was restored or purged meanwhile is none of ours.
            Err(error) if error.code() == Code::PurgeLimit => return Ok(()),
            Err(error) if [Code::InvalidTransition, Code::Gone].contains(&error.code()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
