//! Reading one blob as a stream that ends early only with an error.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use object_store::{GetResult, GetResultPayload, ObjectMeta};
use rustix::io::{ReadWriteFlags, preadv2};

use crate::error::BlobError;
use crate::key::BlobKey;

/// Read at once: large enough that a call does not count, small enough for many readers and for a processor's own cache.
const CHUNK: u64 = 128 * 1024;

/// What the store knows of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobMeta {
    /// Its name.
    pub key: BlobKey,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: SystemTime,
}

impl BlobMeta {
    pub(crate) fn new(key: BlobKey, meta: &ObjectMeta) -> Self {
        Self { key, size: meta.size, modified: meta.last_modified.into() }
    }
}

/// A blob that is being read.
pub struct BlobRead {
    /// What the store knows of the blob.
    pub meta: BlobMeta,
    /// Which of its bytes follow.
    pub range: Range<u64>,
    /// Those bytes.
    pub body: BlobBody,
}

impl BlobRead {
    pub(crate) fn new(key: BlobKey, result: GetResult) -> Self {
        let meta = BlobMeta::new(key, &result.meta);
        let range = result.range.clone();
        let chunks = match result.payload {
            GetResultPayload::File(file, _) => from_file(file, range.clone()),
            GetResultPayload::Stream(stream) => {
                stream.map(move |chunk| chunk.map_err(|error| BlobError::of_object(error, key))).boxed()
            }
        };
        let expected = range.end - range.start;
        Self { meta, range, body: BlobBody::new(chunks, expected) }
    }
}

/// The bytes of a blob, or of a part of it.
///
/// Invariant: it ends without an error only after exactly the announced number of bytes.
pub struct BlobBody {
    chunks: BoxStream<'static, Result<Bytes, BlobError>>,
    expected: u64,
    received: u64,
}

impl Stream for BlobBody {
    type Item = Result<Bytes, BlobError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = match futures::ready!(self.chunks.poll_next_unpin(context)) {
            Some(Ok(chunk)) => {
                self.received += chunk.len() as u64;
                Some(Ok(chunk))
            }
            Some(Err(error)) => Some(Err(error)),
            None if self.received == self.expected => None,
            None => {
                let error = BlobError::Truncated { expected: self.expected, received: self.received };
                // Say it once.
                self.expected = self.received;
                Some(Err(error))
            }
        };
        Poll::Ready(item)
    }
}

impl BlobBody {
    pub(crate) fn new(chunks: BoxStream<'static, Result<Bytes, BlobError>>, expected: u64) -> Self {
        Self { chunks, expected, received: 0 }
    }
}

/// Reads a file. What the page cache holds is read here: it stays in this processor's own cache until it is sent, and costs less
/// than another thread's waking. What it does not hold is read where waiting for a disk disturbs nobody.
fn from_file(file: File, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BlobError>> {
    stream::try_unfold((Arc::new(file), range), async |(file, range)| {
        if range.is_empty() {
            return Ok(None);
        }
        let length = CHUNK.min(range.end - range.start);
        let chunk = match read_cached(&file, range.start, length) {
            Some(chunk) => chunk,
            None => {
                let (file, offset) = (Arc::clone(&file), range.start);
                tokio::task::spawn_blocking(move || read_at(&file, offset, length))
                    .await
                    .map_err(BlobError::unavailable)?
                    .map_err(BlobError::of_file)?
            }
        };
        if chunk.is_empty() {
            // The file has become shorter, which [`BlobBody`] notices.
            return Ok(None);
        }
        let rest = range.start + chunk.len() as u64..range.end;
        Ok(Some((chunk, (file, rest))))
    })
    .boxed()
}

/// Reads what of a chunk is there without a wait (`RWF_NOWAIT` of preadv2(2)). Nothing where that is nothing, or not known.
fn read_cached(file: &File, offset: u64, length: u64) -> Option<Bytes> {
    let mut buffer = vec![0; usize::try_from(length).expect("a chunk fits any usize")];
    let read = preadv2(file, &mut [IoSliceMut::new(&mut buffer)], offset, ReadWriteFlags::NOWAIT);
    let read = read.ok().filter(|read| *read > 0)?;
    buffer.truncate(read);
    Some(buffer.into())
}

/// Reads one chunk, or what is left of a shortened file.
fn read_at(file: &File, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut buffer = vec![0; usize::try_from(length).expect("a chunk fits any usize")];
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(buffer.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory of this process at address 0, where there is none, is read as a bad sector is.
    #[tokio::test]
    async fn a_bad_sector_is_no_outage() {
        let mut chunks = from_file(File::open("/proc/self/mem").unwrap(), 0..4096);
        let error = chunks.next().await.unwrap().unwrap_err();
        assert!(matches!(error, BlobError::Unreadable(_)), "{error:?}");
    }
}
