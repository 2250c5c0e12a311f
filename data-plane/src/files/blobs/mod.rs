//! Blobs: contents as they are stored, one for equal bytes, shared by the versions that have them.
//!
//! Whoever shares a blob holds its row until its version is there; whoever gives one up locks the row first and looks for
//! versions then. So none is removed that somebody is about to share.

pub(super) mod store;

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_blobs::BlobKey;
use rowhouse_database::ActivePlacement;
use rowhouse_problem::Result;
use uuid::Uuid;

use crate::contents::blob_failure;
use crate::work::WorkContext;

/// Blobs that one sweep removes; what is left waits for the next.
const AT_ONCE: i64 = 100;
/// How soon removing is tried again where the store refuses.
const AGAIN: Duration = Duration::from_secs(30);

/// An object that was written and is to become a blob.
pub(super) struct NewBlob<'a> {
    pub(super) sha256: &'a [u8],
    pub(super) md5: Option<&'a [u8]>,
    pub(super) size: i64,
    pub(super) mime_type: &'a str,
    pub(super) bucket: &'a str,
    pub(super) object: BlobKey,
    pub(super) content_key: Option<Uuid>,
}

/// Removes a tenant's blobs that have had no version for the grace period. Says when there will be more to do.
///
/// May be stopped at any point and run at the same time by several processes: an object goes first, its row last.
pub(super) async fn sweep(context: &WorkContext, placement: &ActivePlacement) -> Result<Option<Timestamp>> {
    let grace = context.trash.blob_grace;
    let mut tenant = context.tenant(placement).await?;
    let transaction = tenant.transaction().await?;
    let candidates = store::lock_unreferenced(&transaction, grace, AT_ONCE).await?;
    if !candidates.is_empty() {
        let doomed = store::doom(&transaction, &candidates).await?;
        transaction.commit().await?;
        tracing::debug!(tenant.id = %tenant.tenant(), doomed, "gave up blobs without versions");
    } else {
        drop(transaction);
    }
    let doomed = store::doomed(&tenant, AT_ONCE).await?;
    let mut next = store::oldest_unreferenced(&tenant).await?.and_then(|since| since.checked_add(grace).ok());
    // The store takes its time; the connection is somebody else's meanwhile.
    drop(tenant);
    for (id, object) in doomed {
        let removed = context.contents.delete(object).await.map_err(blob_failure);
        let tenant = context.tenant(placement).await?;
        match removed {
            Ok(()) => store::forget(&tenant, id).await?,
            // One object that can't be deleted holds up no other.
            Err(error) => {
                tracing::warn!(tenant.id = %tenant.tenant(), error = error.chain(), "a blob could not be removed yet");
                store::postpone(&tenant, id).await?;
                next = next.into_iter().chain(Timestamp::now().checked_add(AGAIN)).min();
            }
        }
    }
    Ok(next)
}
