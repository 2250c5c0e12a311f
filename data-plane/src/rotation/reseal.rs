//! Seals contents anew, one after the other and not too fast: each is read, written as another object and swapped for it.

use futures::StreamExt;
use rowhouse_blobs::Written;
use rowhouse_database::ActivePlacement;
use rowhouse_domain::{JobId, TenantId};
use rowhouse_problem::{Error, Result};

use super::store::{self, Due};
use crate::contents::{OpenKey, ReadError, blob_failure};
use crate::files::intents::{self, Intent};
use crate::scrub::Pace;
use crate::work::WorkContext;

/// A piece that is hashed and sealed without a break for others.
const PIECE: usize = 256 * 1024;

/// Goes on until nothing is sealed under an older key but what is damaged, which the scrubber names. What is done stays done when
/// the process dies.
///
/// # Errors
/// Where the tenant's database or the store fails.
pub(crate) async fn reseal(context: &WorkContext, placement: &ActivePlacement, job: JobId) -> Result<()> {
    let mut pace = Pace::new(context.scrub.bytes_per_second);
    let mut last = None;
    loop {
        let some = store::due(&context.tenant(placement).await?, last).await?;
        let Some(end) = some.last() else { return Ok(()) };
        last = Some(end.id);
        for due in &some {
            one(context, placement, &mut pace, job, due).await?;
        }
    }
}

async fn one(context: &WorkContext, placement: &ActivePlacement, pace: &mut Pace, job: JobId, due: &Due) -> Result<()> {
    let tenant = placement.get().tenant;
    let (intent, key) = begin(context, placement, tenant, due).await?;
    let written = match write(context, placement, pace, (&intent, &key), due).await? {
        Some(written) if written.sha256[..] == due.sha256 => written,
        _ => {
            tracing::warn!(tenant.id = %tenant, object = %due.object.key, "a content that is damaged keeps its key");
            intents::store::abandon(&context.tenant(placement).await?, intent.id).await?;
            return Ok(());
        }
    };
    debug_assert_eq!(written.size, due.object.size, "equal hashes");
    let mut connection = context.tenant(placement).await?;
    let transaction = connection.transaction().await?;
    if !intents::store::fulfil(&transaction, intent.id).await? {
        return Err(Error::unavailable("sealing a content anew took too long"));
    }
    if !store::swap(&transaction, due, (&context.bucket, intent.object, key.id())).await? {
        // It was given up, or has another object, meanwhile: without a commit the intent still stands.
        drop(transaction);
        intents::store::abandon(&connection, intent.id).await?;
        return Ok(());
    }
    store::advance(&transaction, job).await?;
    transaction.commit().await
}

/// Notes that there may be a new object, and gives the key that is to seal it.
async fn begin(
    context: &WorkContext,
    placement: &ActivePlacement,
    tenant: TenantId,
    due: &Due,
) -> Result<(Intent, OpenKey)> {
    let mut connection = context.tenant(placement).await?;
    let transaction = connection.transaction().await?;
    let key = context.contents.current_key(&transaction, tenant).await?;
    // It was asked of one that does, and waits for such a one.
    let key = key.ok_or_else(|| Error::unavailable("this process does not seal contents"))?;
    let size = i64::try_from(due.object.size).map_err(Error::internal)?;
    let intent = intents::begin_copy(&transaction, tenant, &context.bucket, size).await?;
    transaction.commit().await?;
    Ok((intent, key))
}

/// Reads a content and writes it as another object. None where it can't be read, and others can.
async fn write(
    context: &WorkContext,
    placement: &ActivePlacement,
    pace: &mut Pace,
    (intent, key): (&Intent, &OpenKey),
    due: &Due,
) -> Result<Option<Written>> {
    pace.opened().await;
    let mut body = match context.contents.read(&due.object, None).await {
        Ok(read) => read.body,
        Err(error) => return damaged(context, error).await,
    };
    let (at, id) = ((context.clone(), placement.clone()), intent.id);
    let mut writer = context.contents.writer(intent.object, Some(key)).announcing(move |name| {
        Box::pin(async move {
            let (context, placement) = at;
            let is_there = intents::store::name_upload(&context.tenant(&placement).await?, id, &name).await?;
            if is_there { Ok(()) } else { Err(Error::unavailable("sealing a content anew took too long")) }
        })
    });
    while let Some(chunk) = body.next().await {
        let mut chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => return damaged(context, error.into()).await,
        };
        pace.spent(chunk.len() as u64).await;
        while !chunk.is_empty() {
            let piece = chunk.split_to(PIECE.min(chunk.len()));
            writer.write(piece).await.map_err(blob_failure)?;
        }
    }
    writer.finish().await.map(Some).map_err(blob_failure)
}

/// Tells a content that can't be read from a store that does not answer.
async fn damaged(context: &WorkContext, error: ReadError) -> Result<Option<Written>> {
    context.contents.check().await.map_err(blob_failure)?;
    tracing::warn!(error = error.to_string(), "a content that is to be sealed anew can't be read");
    Ok(None)
}
