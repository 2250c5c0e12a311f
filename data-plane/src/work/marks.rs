//! Marks that a tenant has work, also where `saas_platform` is away: they are owed then, and made when it is back.

use std::time::Duration;

use rowhouse_database::PlatformPool;
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};

use super::nudge::Nudge;
use super::store;

/// How long a change waits for its mark. It is needed only where this process dies soon after, and then the daily sweep, or the
/// end of the block of quota that was spent of, leads to the work.
const PATIENCE: Duration = Duration::from_secs(1);

/// Marks in `saas_platform` that the tenant is about to have work. To be called before the tenant's own commit. While
/// `saas_platform` does not answer, nobody waits for it: the mark is made when it does.
///
/// # Errors
/// Where it answers, and with an error.
pub async fn mark(platform: &PlatformPool, nudge: &Nudge, tenant: TenantId) -> Result<()> {
    if nudge.owes_marks() {
        nudge.owe_mark(tenant);
        return Ok(());
    }
    let marked = async { store::mark(&platform.get().await?, tenant).await };
    let outcome =
        tokio::time::timeout(PATIENCE, marked).await.unwrap_or_else(|elapsed| Err(Error::unavailable(elapsed)));
    match outcome {
        Err(error) if error.is_retryable() => {
            tracing::warn!(tenant.id = %tenant, error = error.chain(), "a tenant's work is marked later");
            nudge.owe_mark(tenant);
            Ok(())
        }
        outcome => outcome,
    }
}

/// Makes the marks that are owed, and has their tenants looked at. One that is refused is not tried again.
///
/// # Errors
/// Where `saas_platform` is still away.
pub(super) async fn make_owed(platform: &PlatformPool, nudge: &Nudge) -> Result<()> {
    for tenant in nudge.owed_marks() {
        match store::mark(&platform.get().await?, tenant).await {
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => {
                tracing::error!(tenant.id = %tenant, error = error.chain(), "a tenant's work can't be marked")
            }
            Ok(()) => {}
        }
        nudge.mark_made(tenant);
        nudge.tenant(tenant);
    }
    Ok(())
}
