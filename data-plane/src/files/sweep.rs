//! What is due in a tenant without anybody asking: the end of uploads that ended without a word, of what was deleted long ago,
//! and of contents that no file has any more.

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_blobs::BlobError;
use rowhouse_database::ActivePlacement;
use rowhouse_problem::Result;

use super::intents::Expired;
use super::{blobs, intents, purge, reservation};
use crate::contents::blob_failure;
use crate::work::WorkContext;
use crate::{idempotency, links, quota, rotation, uploads};

/// Uploads that one sweep looks at; what is left waits for the next.
const AT_ONCE: i64 = 100;

/// How soon something is tried again that failed.
const AGAIN: Duration = Duration::from_secs(30);
/// How soon a tenant is looked at again while an upload is under way.
const UPLOAD_UNDER_WAY: Duration = Duration::from_secs(2);

/// Removes what was deleted long ago and what no file has any more, and says when the next thing will be due, uploads included.
/// Never fails: what went wrong is logged and found again.
pub(crate) async fn sweep(context: &WorkContext, placement: &ActivePlacement) -> Option<Timestamp> {
    let trash = purge::sweep(context, placement).await;
    let blobs = blobs::sweep(context, placement).await;
    let keys = rotation::sweep(context, placement).await;
    let ends = next_end(context, placement).await;
    [trash, blobs, keys, ends].into_iter().filter_map(|due| logged(placement, due)).min()
}

/// Ends what uploads have left that came to nothing: room, objects, rows. Never fails, as above.
pub(crate) async fn end_uploads(context: &WorkContext, placement: &ActivePlacement) {
    // Their objects are left to what comes next.
    let sessions = expired_sessions(context, placement).await;
    let intents = expired_intents(context, placement).await;
    let reservations = forgotten_reservations(context, placement).await;
    let blocks = quota::blocks::sweep(context, placement).await;
    for ended in [sessions, intents, reservations, blocks] {
        logged(placement, ended.map(|()| None));
    }
}

fn logged(placement: &ActivePlacement, result: Result<Option<Timestamp>>) -> Option<Timestamp> {
    result.unwrap_or_else(|error| {
        tracing::warn!(tenant.id = %placement.get().tenant, error = error.chain(), "what is due has to wait");
        Timestamp::now().checked_add(AGAIN).ok()
    })
}

/// When there will be something of uploads to end.
async fn next_end(context: &WorkContext, placement: &ActivePlacement) -> Result<Option<Timestamp>> {
    let tenant = context.tenant(placement).await?;
    let sessions = uploads::store::next_expiry(&tenant).await?;
    let intents = intents::store::next_expiry(&tenant).await?;
    // An upload under way may commit at any moment, and its process may end right after.
    let soon = intents.and_then(|_| Timestamp::now().checked_add(UPLOAD_UNDER_WAY).ok());
    let blocks = quota::blocks::next_end(&tenant).await?;
    Ok([sessions, intents, soon, blocks].into_iter().flatten().min())
}

/// Ends uploads in parts that nobody goes on with.
async fn expired_sessions(context: &WorkContext, placement: &ActivePlacement) -> Result<()> {
    uploads::sweep::expired(&mut context.tenant(placement).await?, &context.platform).await
}

/// Ends a tenant's uploads past their time, forgets answers that nobody will ask for again, and links that are long over.
///
/// May be stopped at any point and run at the same time by several processes: an object goes first, its row last.
async fn expired_intents(context: &WorkContext, placement: &ActivePlacement) -> Result<()> {
    let tenant = context.tenant(placement).await?;
    let expired = intents::store::expire(&tenant, AT_ONCE).await?;
    for upload in &expired {
        // A commit without an answer may have succeeded: then the object is a blob's.
        if !blobs::store::is_referenced(&tenant, &upload.object_key).await? {
            // One object that can't be deleted holds up no other; it is tried again in a while.
            if let Err(error) = remove(context, upload).await.map_err(blob_failure) {
                tracing::warn!(error = error.chain(), "what an upload left behind could not be removed yet");
                intents::store::postpone(&tenant, upload.id).await?;
                continue;
            }
        }
        if let Some(reservation) = upload.reservation {
            reservation::end(&context.platform, &tenant, reservation, upload.id).await?;
        }
        intents::store::delete(&tenant, upload.id).await?;
    }
    if !expired.is_empty() {
        tracing::info!(tenant.id = %tenant.tenant(), uploads = expired.len(), "removed what uploads left behind");
    }
    idempotency::forget_expired(&tenant).await?;
    links::store::forget_expired(&tenant).await
}

/// Removes what the store has of an upload.
async fn remove(context: &WorkContext, upload: &Expired) -> std::result::Result<(), BlobError> {
    match context.contents.end_upload(upload.object, upload.store_upload.as_deref()).await {
        // Not ours to end, and never will be: a rule of the bucket must do it. Nothing else waits for that.
        Err(BlobError::Denied { reason }) => {
            tracing::warn!(blob.key = %upload.object, reason, "the parts of an upload may stay in the bucket");
        }
        ended => ended?,
    }
    context.contents.delete(upload.object).await
}

/// Gives back what is reserved without an end and stands for nothing: its upload ran out before it was kept for the commit, so
/// that there was no intent any more, and its process died right after.
async fn forgotten_reservations(context: &WorkContext, placement: &ActivePlacement) -> Result<()> {
    // In this order: what is kept for a commit now has an intent until the commit, which leaves an event in its place.
    let committing = quota::committing(&context.platform, placement.get().tenant).await?;
    if committing.is_empty() {
        return Ok(());
    }
    let forgotten = intents::store::unknown(&context.tenant(placement).await?, &committing, None).await?;
    for reservation in &forgotten {
        quota::release(&context.platform, *reservation).await?;
    }
    if !forgotten.is_empty() {
        tracing::info!(tenant.id = %placement.get().tenant, reservations = forgotten.len(), "gave back forgotten reservations");
    }
    Ok(())
}
