//! Writing one blob: bytes come as they come, memory stays bounded, the hash is ready when the last byte is.

use std::error::Error;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use object_store::multipart::MultipartStore;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use tokio::task::JoinSet;

use crate::digest::Digests;
use crate::error::BlobError;
use crate::key::BlobKey;
use crate::local;
use crate::parts::{Announce, NamedUpload};
use crate::sealed::{ContentKey, Place, Sealer};
use crate::writeback::Writeback;

/// How many parts may be on their way at once. With the one being filled this bounds the memory of an upload.
const PARTS_IN_FLIGHT: usize = 2;

/// How long those are waited for where the upload is given up.
const LAST_PARTS: Duration = Duration::from_secs(5);

/// What the first part's buffer starts with: most files are small.
const FIRST_BUFFER: usize = 16 * 1024;

/// A blob that was written and is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its content.
    pub sha256: [u8; 32],
    /// The MD5 of its content, where [`BlobWriter::with_md5`] asked for it.
    pub md5: Option<[u8; 16]>,
}

/// An upload under way. Nothing is visible under its key before [`BlobWriter::finish`] has returned.
///
/// Dropping the writer abandons the upload and removes what was stored of it. After a failed or cancelled call
/// every other call fails with [`BlobError::Broken`].
pub struct BlobWriter {
    target: Target,
    part_size: usize,
    buffer: BytesMut,
    size: u64,
    digests: Digests,
    sealer: Option<Sealer>,
    announce: Option<Announce>,
    upload: Option<Upload>,
    writeback: Option<Writeback>,
    broken: bool,
}

/// Where a writer writes to.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) parts: Option<Arc<dyn MultipartStore>>,
    /// The root folder where blobs lie on this machine.
    pub(crate) local_root: Option<Arc<FilePath>>,
    pub(crate) key: BlobKey,
}

/// The parts of a blob that is larger than one part.
struct Upload {
    multipart: Box<dyn MultipartUpload>,
    parts: JoinSet<object_store::Result<()>>,
}

impl Target {
    /// Begins an upload in parts, and says what the store calls it, where others can end it by that.
    async fn begin_parts(&self) -> object_store::Result<(Box<dyn MultipartUpload>, Option<String>)> {
        let path = self.key.path();
        let Some(parts) = &self.parts else { return Ok((self.store.put_multipart(&path).await?, None)) };
        let upload = NamedUpload::begin(Arc::clone(parts), path).await?;
        let name = upload.name().to_owned();
        Ok((Box::new(upload), Some(name)))
    }
}

impl BlobWriter {
    pub(crate) fn new(target: Target, part_size: usize) -> Self {
        Self {
            writeback: target.local_root.clone().map(|root| Writeback::new(root, target.key)),
            target,
            part_size,
            buffer: BytesMut::with_capacity(part_size.min(FIRST_BUFFER)),
            size: 0,
            digests: Digests::new(),
            sealer: None,
            announce: None,
            upload: None,
            broken: false,
        }
    }

    /// Computes MD5 as well, on a thread of its own; must be called before the first byte.
    #[must_use]
    pub fn with_md5(mut self) -> Self {
        self.digests = Digests::new().with_md5();
        self
    }

    /// Stores the blob sealed; must be called before the first byte. Sizes and hashes are of the content as it is read again.
    #[must_use]
    pub fn sealed(mut self, key: &ContentKey) -> Self {
        self.sealer = Some(Sealer::new(key, self.target.key));
        self
    }

    /// Has `announce` told what the store calls the upload, where that takes it in parts, before the first of them: so that
    /// [`crate::BlobStore::end_upload`] can remove them if this process doesn't live to do so. Where that fails, so does the
    /// upload. Must be called before the first byte.
    #[must_use]
    pub fn announcing<E: Into<Box<dyn Error + Send + Sync>> + 'static>(
        mut self,
        announce: impl FnOnce(String) -> BoxFuture<'static, Result<(), E>> + Send + Sync + 'static,
    ) -> Self {
        self.announce = Some(Box::new(move |name| {
            let announced = announce(name);
            Box::pin(async move { announced.await.map_err(Into::into) })
        }));
        self
    }

    /// The key that the blob will have.
    pub fn key(&self) -> BlobKey {
        self.target.key
    }

    /// How many bytes were written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes in the next bytes, and waits where the store is slower than the sender.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), BlobError> {
        self.begin()?;
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            // Not before there is more: which part is the last is sealed with it.
            if self.buffer.len() == self.part_size {
                self.send_part(Place::Inside).await?;
            }
            // Copying bounds the memory: slices of a socket's buffers would keep whole buffers alive.
            let room = self.part_size - self.buffer.len();
            self.buffer.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
        }
        self.broken = false;
        Ok(())
    }

    /// Stores the last bytes; when this returns the blob is durable and visible.
    pub async fn finish(mut self) -> Result<Written, BlobError> {
        self.begin()?;
        if self.upload.is_none() {
            self.put_whole().await?;
        } else {
            self.send_part(Place::Last).await?;
            self.complete().await?;
        }
        let digests = std::mem::replace(&mut self.digests, Digests::new());
        let hashes = digests.finish().await?;
        Ok(Written { size: self.size, sha256: hashes.sha256, md5: hashes.md5 })
    }

    /// Gives the upload up and waits until what was stored of it is gone.
    pub async fn abort(mut self) -> Result<(), BlobError> {
        match self.upload.take() {
            Some(upload) => upload.abort(&self.target).await,
            None => Ok(()),
        }
    }

    /// Marks the writer as broken until the call that begins here has succeeded.
    fn begin(&mut self) -> Result<(), BlobError> {
        if std::mem::replace(&mut self.broken, true) { Err(BlobError::Broken) } else { Ok(()) }
    }

    fn failed(&self) -> impl Fn(object_store::Error) -> BlobError + use<> {
        let key = self.target.key;
        move |error| BlobError::of_object(error, key)
    }

    /// A blob that fits one part needs one request.
    async fn put_whole(&mut self) -> Result<(), BlobError> {
        let content = self.buffer.split().freeze();
        let content = self.digest_and_seal(content, Place::Last).await?;
        let path = self.target.key.path();
        self.target.store.put(&path, content.into()).await.map_err(self.failed())?;
        Ok(())
    }

    /// Both on other threads, at the same time, where there is much of it.
    async fn digest_and_seal(&mut self, part: Bytes, place: Place) -> Result<Bytes, BlobError> {
        self.digests.update(&part).await?;
        match &mut self.sealer {
            Some(sealer) => sealer.seal(part, place).await,
            None => Ok(part),
        }
    }

    async fn send_part(&mut self, place: Place) -> Result<(), BlobError> {
        let next = BytesMut::with_capacity(if place == Place::Last { 0 } else { self.part_size });
        let part = std::mem::replace(&mut self.buffer, next).freeze();
        let part = self.digest_and_seal(part, place).await?;
        let failed = self.failed();
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let (multipart, name) = self.target.begin_parts().await.map_err(&failed)?;
                let upload = none.insert(Upload { multipart, parts: JoinSet::new() });
                if let Some((announce, name)) = self.announce.take().zip(name) {
                    announce(name).await.map_err(BlobError::unavailable)?;
                }
                upload
            }
        };
        while upload.parts.len() >= PARTS_IN_FLIGHT {
            upload.join_one().await.map_err(&failed)?;
        }
        let length = part.len();
        let sending = upload.multipart.put_part(part.into());
        upload.parts.spawn(sending);
        if let Some(writeback) = &mut self.writeback {
            writeback.wrote(length);
        }
        Ok(())
    }

    async fn complete(&mut self) -> Result<(), BlobError> {
        let failed = self.failed();
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        while !upload.parts.is_empty() {
            upload.join_one().await.map_err(&failed)?;
        }
        upload.multipart.complete().await.map_err(&failed)?;
        // There is nothing left to clean up.
        self.upload = None;
        Ok(())
    }
}

impl Upload {
    async fn join_one(&mut self) -> object_store::Result<()> {
        match self.parts.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(error)) => Err(error.into()),
            None => Ok(()),
        }
    }

    async fn abort(mut self, target: &Target) -> Result<(), BlobError> {
        // A part that arrives after the end of its upload would be stored, and paid for, for ever: one that the server has whole
        // goes on there when its request is broken off. So those on their way may arrive first.
        let arrive = async { while self.parts.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_PARTS, arrive).await;
        self.parts.shutdown().await;
        let result = self.multipart.abort().await;
        if let Some(root) = target.local_root.clone() {
            // Where `complete` failed half-way the store has already forgotten its file: look for ourselves.
            let key = target.key;
            return tokio::task::spawn_blocking(move || local::remove_unfinished(&root, key))
                .await
                .map_err(BlobError::unavailable)?
                .map_err(BlobError::unavailable);
        }
        result.map_err(|error| BlobError::of_object(error, target.key))
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else {
            return;
        };
        // Without a runtime the process is ending: the next start's sweep does it, or whoever was told of the upload.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let target = self.target.clone();
            runtime.spawn(async move {
                if let Err(error) = upload.abort(&target).await {
                    tracing::warn!(
                        blob.key = %target.key,
                        error = &error as &dyn std::error::Error,
                        "could not clean up after an abandoned upload"
                    );
                }
            });
        }
    }
}
