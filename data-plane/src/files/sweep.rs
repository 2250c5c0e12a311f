//! Removing what uploads left behind that ended without a word: a crash, a lost commit.

use rowhouse_blobs::BlobStore;
use rowhouse_database::{PlatformPool, TenantConnection};
use rowhouse_problem::Result;

use super::failure::blob_failure;
use super::{intents, versions};
use crate::{idempotency, links, quota};

/// Uploads that one sweep looks at; what is left waits for the next.
const AT_ONCE: i64 = 100;

/// Ends a tenant's uploads past their time, and forgets answers that nobody will ask for again and links that are long over. Returns how many uploads
/// there were, and when the next one will be past its time.
///
/// May be stopped at any point and run at the same time by several processes: an object goes first, its row last.
///
/// # Errors
/// Whatever a store says; what was not done is found again.
pub async fn expired_intents(
    tenant: &TenantConnection,
    platform: &PlatformPool,
    blobs: &BlobStore,
) -> Result<(usize, Option<jiff::Timestamp>)> {
    let expired = intents::store::expire(tenant, AT_ONCE).await?;
    for upload in &expired {
        // A commit without an answer may have succeeded: then the object is a blob's.
        if !versions::store::is_referenced(tenant, &upload.object_key).await? {
            // One object that can't be deleted holds up no other; it is tried again in a while.
            if let Err(error) = blobs.delete(upload.object).await.map_err(blob_failure) {
                tracing::warn!(error = error.chain(), "what an upload left behind could not be removed yet");
                intents::store::postpone(tenant, upload.id).await?;
                continue;
            }
        }
        if let Some(reservation) = upload.reservation {
            quota::release(platform, reservation).await?;
        }
        intents::store::delete(tenant, upload.id).await?;
    }
    if !expired.is_empty() {
        tracing::info!(tenant.id = %tenant.tenant(), uploads = expired.len(), "removed what uploads left behind");
    }
    idempotency::forget_expired(tenant).await?;
    links::store::forget_expired(tenant).await?;
    Ok((expired.len(), intents::store::next_expiry(tenant).await?))
}
