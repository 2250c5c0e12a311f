//! The contents of a tenant's files.

use futures::StreamExt;
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};

use crate::context::Context;

/// Deletes every object of a tenant. One that can't be deleted keeps no other from going, but the step is not done.
pub(super) async fn delete(context: &Context, tenant: TenantId) -> Result<()> {
    let mut objects = context.blobs.list(Some(tenant.as_uuid()));
    let (mut deleted, mut failed) = (0u64, 0u64);
    while let Some(object) = objects.next().await {
        let object = object.map_err(Error::unavailable)?;
        match context.blobs.delete(object.key).await {
            Ok(()) => deleted += 1,
            Err(error) => {
                failed += 1;
                tracing::warn!(error = &error as &dyn std::error::Error, "an object of a purged tenant stays");
            }
        }
    }
    tracing::info!(deleted, failed, "the tenant's objects were deleted");
    if failed > 0 {
        return Err(Error::unavailable(format!("{failed} objects could not be deleted")));
    }
    Ok(())
}

/// How many objects a tenant has, and their bytes.
pub(super) async fn count(context: &Context, tenant: TenantId) -> Result<(u64, u64)> {
    let mut objects = context.blobs.list(Some(tenant.as_uuid()));
    let (mut count, mut bytes) = (0, 0);
    while let Some(object) = objects.next().await {
        count += 1;
        bytes += object.map_err(Error::unavailable)?.size;
    }
    Ok((count, bytes))
}
