//! What is due in a tenant without anybody asking: the end of uploads that ended without a word, of what was deleted long ago,
//! and of contents that no file has any more.

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_database::ActivePlacement;
use rowhouse_problem::Result;

use super::{blobs, intents, purge};
use crate::contents::blob_failure;
use crate::work::WorkContext;
use crate::{idempotency, links, quota, uploads};

/// Uploads that one sweep looks at; what is left waits for the next.
const AT_ONCE: i64 = 100;

/// How soon something is tried again that failed.
const AGAIN: Duration = Duration::from_secs(30);
/// How soon a tenant is looked at again while an upload is under way.
const UPLOAD_UNDER_WAY: Duration = Duration::from_secs(2);

/// Does what is due, and says when the next thing will be. Never fails: what went wrong is logged and found again.
pub(crate) async fn sweep(context: &WorkContext, placement: &ActivePlacement) -> Option<Timestamp> {
    // Their objects are left to what comes next.
    let sessions = expired_sessions(context, placement).await;
    let uploads = expired_intents(context, placement).await;
    let trash = purge::sweep(context, placement).await;
    let blobs = blobs::sweep(context, placement).await;
    let due = |result: Result<Option<Timestamp>>| match result {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(tenant.id = %placement.get().tenant, error = error.chain(), "what is due has to wait");
            Timestamp::now().checked_add(AGAIN).ok()
        }
    };
    let blocks = quota::blocks::sweep(context, placement).await;
    [sessions, uploads, trash, blobs, blocks].into_iter().filter_map(due).min()
}

/// Ends uploads in parts that nobody goes on with. Says when there may be more.
async fn expired_sessions(context: &WorkContext, placement: &ActivePlacement) -> Result<Option<Timestamp>> {
    uploads::sweep::expired(&mut context.tenant(placement).await?, &context.platform).await
}

/// Ends a tenant's uploads past their time, forgets answers that nobody will ask for again, and links that are long over. Says when
/// there may be more.
///
/// May be stopped at any point and run at the same time by several processes: an object goes first, its row last.
async fn expired_intents(context: &WorkContext, placement: &ActivePlacement) -> Result<Option<Timestamp>> {
    let tenant = context.tenant(placement).await?;
    let expired = intents::store::expire(&tenant, AT_ONCE).await?;
    for upload in &expired {
        // A commit without an answer may have succeeded: then the object is a blob's.
        if !blobs::store::is_referenced(&tenant, &upload.object_key).await? {
            // One object that can't be deleted holds up no other; it is tried again in a while.
            if let Err(error) = context.contents.delete(upload.object).await.map_err(blob_failure) {
                tracing::warn!(error = error.chain(), "what an upload left behind could not be removed yet");
                intents::store::postpone(&tenant, upload.id).await?;
                continue;
            }
        }
        if let Some(reservation) = upload.reservation {
            quota::release(&context.platform, reservation).await?;
        }
        intents::store::delete(&tenant, upload.id).await?;
    }
    if !expired.is_empty() {
        tracing::info!(tenant.id = %tenant.tenant(), uploads = expired.len(), "removed what uploads left behind");
    }
    idempotency::forget_expired(&tenant).await?;
    links::store::forget_expired(&tenant).await?;
    let Some(next) = intents::store::next_expiry(&tenant).await? else { return Ok(None) };
    // An upload under way may commit at any moment, and its process may end right after.
    Ok(Timestamp::now().checked_add(UPLOAD_UNDER_WAY).ok().into_iter().chain([next]).min())
}
