//! Hashing beside the transfer: while one part is hashed on a blocking thread, the next is received and written.

use bytes::Bytes;
use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use crate::error::BlobError;

/// Up to here hashing is cheaper (about 50 µs) than handing it to another thread is worth.
const INLINE: usize = 64 * 1024;

/// The hashes of a blob that is being written.
pub(crate) struct Digests {
    sha256: Running<Sha256>,
    md5: Option<Running<Md5>>,
}

/// The hashes of a blob that was written.
pub(crate) struct Hashes {
    pub(crate) sha256: [u8; 32],
    pub(crate) md5: Option<[u8; 16]>,
}

impl Digests {
    pub(crate) fn new() -> Self {
        Self { sha256: Running::new(), md5: None }
    }

    pub(crate) fn with_md5(self) -> Self {
        Self { md5: Some(Running::new()), ..self }
    }

    /// Takes in the next part; at most one part per hash waits on another thread.
    pub(crate) async fn update(&mut self, part: &Bytes) -> Result<(), BlobError> {
        self.sha256.update(part).await?;
        if let Some(md5) = &mut self.md5 {
            md5.update(part).await?;
        }
        Ok(())
    }

    pub(crate) async fn finish(self) -> Result<Hashes, BlobError> {
        let md5 = match self.md5 {
            Some(md5) => Some(md5.settle().await?.finalize().into()),
            None => None,
        };
        Ok(Hashes { sha256: self.sha256.settle().await?.finalize().into(), md5 })
    }
}

/// One hash, either here or on a blocking thread.
enum Running<D> {
    Here(D),
    Away(JoinHandle<D>),
}

impl<D: Digest + Send + 'static> Running<D> {
    fn new() -> Self {
        Self::Here(D::new())
    }

    async fn update(&mut self, part: &Bytes) -> Result<(), BlobError> {
        let mut digest = std::mem::replace(self, Self::new()).settle().await?;
        *self = if part.len() <= INLINE {
            digest.update(part);
            Self::Here(digest)
        } else {
            let part = part.clone();
            Self::Away(tokio::task::spawn_blocking(move || {
                digest.update(&part);
                digest
            }))
        };
        Ok(())
    }

    async fn settle(self) -> Result<D, BlobError> {
        match self {
            Self::Here(digest) => Ok(digest),
            Self::Away(task) => task.await.map_err(BlobError::unavailable),
        }
    }
}
