//! An upload that is sent again under its `Idempotency-Key`: answered as before, if it is the same content.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use rowhouse_problem::{Error, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::upload::{LARGEST_PIECE, check_size};
use crate::answer::Answer;
use crate::idempotency::mismatch;
use crate::state::AppState;

/// What is needed of a [`FileView`](super::FileView).
#[derive(Deserialize)]
struct Stored {
    sha256: String,
}

/// Reads the body, and gives the answer back where it says the same content.
///
/// # Errors
/// `idempotency_mismatch` for another content.
pub(super) async fn compare(
    state: &AppState,
    answer: Answer,
    body: impl Stream<Item = Result<Bytes>>,
) -> Result<Answer> {
    let stored: Stored = serde_json::from_slice(&answer.body).map_err(Error::internal)?;
    let mut body = std::pin::pin!(body);
    let (mut hash, mut size) = (Sha256::new(), 0);
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        size += chunk.len() as u64;
        check_size(state, size)?;
        for piece in chunk.chunks(LARGEST_PIECE) {
            hash.update(piece);
        }
    }
    if hex::encode(hash.finalize()) == stored.sha256 { Ok(answer) } else { Err(mismatch()) }
}
