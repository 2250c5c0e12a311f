//! Reading one content and judging it.

use futures::StreamExt;
use rowhouse_blobs::BlobError;
use rowhouse_problem::{Error, Result};
use sha2::{Digest, Sha256};

use super::pace::Pace;
use super::store::Due;
use crate::contents::{Contents, ReadError, blob_failure};

/// What a content was found to be.
#[derive(Debug)]
pub(super) enum Verdict {
    /// What it was when it was stored.
    Sound,
    /// Not that.
    Damaged(Damage),
    /// Nobody knows: this one could not be read, and others can.
    Unknown(Error),
}

/// What was found instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// There is no object.
    Missing,
    /// There are other bytes, or more or fewer of them.
    Altered,
    /// There is an object that nobody gets the bytes of: its disk or its store refuses it, or its key does not open.
    Unreadable,
}

impl Damage {
    /// The text in `blobs.damage`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Altered => "altered",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Reads a content at the given pace.
///
/// # Errors
/// Where the store does not answer: then nothing is known of any content.
pub(super) async fn look(contents: &Contents, pace: &mut Pace, due: &Due) -> Result<Verdict> {
    let error = match hash(contents, pace, due).await {
        Ok((size, hash)) if size == due.object.size && hash == due.sha256 => return Ok(Verdict::Sound),
        Ok(_) => return Ok(Verdict::Damaged(Damage::Altered)),
        Err(error) => error,
    };
    if let Some(damage) = damage(&error) {
        return Ok(Verdict::Damaged(damage));
    }
    contents.check().await.map_err(blob_failure)?;
    Ok(unexplained(error))
}

/// What an error by itself says of the content.
fn damage(error: &ReadError) -> Option<Damage> {
    match error {
        ReadError::Blob(BlobError::NotFound { .. }) => Some(Damage::Missing),
        ReadError::Blob(BlobError::Truncated { .. } | BlobError::Unopenable { .. } | BlobError::OutOfRange { .. }) => {
            Some(Damage::Altered)
        }
        ReadError::Blob(BlobError::Unreadable(_)) | ReadError::Key(_) => Some(Damage::Unreadable),
        ReadError::Blob(
            BlobError::Full(_)
            | BlobError::Denied { .. }
            | BlobError::Unavailable(_)
            | BlobError::Broken
            | BlobError::Config(_),
        ) => None,
    }
}

/// What an error that could be the store's says of the content, once the store has answered otherwise.
fn unexplained(error: ReadError) -> Verdict {
    if matches!(error, ReadError::Blob(BlobError::Denied { .. })) {
        // It takes our credentials, and not for this object.
        return Verdict::Damaged(Damage::Unreadable);
    }
    Verdict::Unknown(error.into())
}

async fn hash(contents: &Contents, pace: &mut Pace, due: &Due) -> std::result::Result<(u64, Vec<u8>), ReadError> {
    pace.opened().await;
    let mut body = contents.read(&due.object, None).await?.body;
    let (mut size, mut hash) = (0, Sha256::new());
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        size += chunk.len() as u64;
        hash.update(&chunk);
        pace.spent(chunk.len() as u64).await;
    }
    Ok((size, hash.finalize().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_answers_and_refuses_one_object_has_lost_it() {
        let denied = || ReadError::Blob(BlobError::Denied { reason: "AccessDenied".to_owned() });
        assert_eq!(damage(&denied()), None, "it may be our credentials that are refused");
        assert!(matches!(unexplained(denied()), Verdict::Damaged(Damage::Unreadable)));
        let late = ReadError::Blob(BlobError::Unavailable("late".into()));
        assert!(damage(&late).is_none() && matches!(unexplained(late), Verdict::Unknown(_)));
    }
}
