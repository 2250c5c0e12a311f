//! What uploads have left that came to nothing: seen to whenever a tenant is looked at, and however many jobs it has.

use rowhouse_database::ActivePlacement;
use rowhouse_domain::TenantId;
use rowhouse_problem::Result;

use super::context::WorkContext;
use super::nudge::Ring;
use super::visit::OUT_OF_REACH;
use crate::{files, placements};

/// Takes the tenant's turn. Never fails: what goes wrong is logged and tried again later.
pub(super) async fn see_to(context: &WorkContext, ring: &Ring, tenant: TenantId) {
    match placement(context, tenant).await {
        Ok(Some(placement)) => files::sweep::end_uploads(context, &placement).await,
        // A tenant that may not be served keeps them until it may.
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(tenant.id = %tenant, error = error.chain(), "the end of uploads has to wait");
            ring.leave(tenant, OUT_OF_REACH);
        }
    }
    ring.end(tenant);
}

async fn placement(context: &WorkContext, tenant: TenantId) -> Result<Option<ActivePlacement>> {
    placements::find_active(&context.platform.get().await?, tenant).await
}
