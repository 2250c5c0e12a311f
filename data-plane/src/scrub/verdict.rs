//! Reading one content and judging it.

use futures::StreamExt;
use rowhouse_blobs::BlobError;
use rowhouse_problem::Result;
use sha2::{Digest, Sha256};

use super::pace::Pace;
use super::store::Due;
use crate::contents::{Contents, ReadError};

/// What a content was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What it was when it was stored.
    Sound,
    /// Not that.
    Damaged(Damage),
}

/// What was found instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// There is no object.
    Missing,
    /// There are other bytes, or more or fewer of them.
    Altered,
}

impl Damage {
    /// The text in `blobs.damage`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Altered => "altered",
        }
    }
}

/// Reads a content at the given pace.
///
/// # Errors
/// Where the store does not answer, or the content's key is not to be had: then nothing is known of the content.
pub(super) async fn look(contents: &Contents, pace: &mut Pace, due: &Due) -> Result<Verdict> {
    match hash(contents, pace, due).await {
        Ok((size, hash)) if size == due.object.size && hash == due.sha256 => Ok(Verdict::Sound),
        Ok(_) | Err(ReadError::Blob(BlobError::Truncated { .. } | BlobError::Unopenable { .. })) => {
            Ok(Verdict::Damaged(Damage::Altered))
        }
        Err(ReadError::Blob(BlobError::NotFound { .. })) => Ok(Verdict::Damaged(Damage::Missing)),
        Err(error) => Err(error.into()),
    }
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
