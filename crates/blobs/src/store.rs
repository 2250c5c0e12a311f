//! The store: opening it, and everything but the bytes of writing and reading.

use std::fmt;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use http::Method;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use uuid::Uuid;

use crate::config::{Backend, Config, S3Client, S3Config};
use crate::error::BlobError;
use crate::key::BlobKey;
use crate::read::{BlobMeta, BlobRead};
use crate::sealed::{ContentKey, Frames, sealed_size};
use crate::writer::{BlobWriter, Target};
use crate::{local, s3, sealed};

/// Handed to a blocking thread at a time: large enough to keep a disk busy, small enough for many uploads at once.
const LOCAL_PART: usize = 512 * 1024;

/// S3 allows 10,000 parts of at least 5 MiB: these reach 78 GiB, and three of them are 24 MiB of memory an upload.
const S3_PART: usize = 8 * 1024 * 1024;

/// The place where blobs lie. Cheap to clone.
#[derive(Clone)]
pub struct BlobStore {
    store: Arc<dyn ObjectStore>,
    signer: Option<Arc<dyn Signer>>,
    /// What gives uploads in parts names that outlive their process: S3 through its usual client.
    parts: Option<Arc<dyn MultipartStore>>,
    local_root: Option<Arc<FilePath>>,
    part_size: usize,
}

impl fmt::Debug for BlobStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(formatter)
    }
}

impl BlobStore {
    /// Opens the store that the settings name. A local folder is made; a bucket must exist.
    pub fn open(config: &Config) -> Result<Self, BlobError> {
        match config.backend {
            Backend::Local => {
                let (store, root) = local::open(&config.local.root)?;
                let (store, local_root) = (Arc::new(store), Some(root.into()));
                Ok(Self { store, signer: None, parts: None, local_root, part_size: LOCAL_PART })
            }
            Backend::S3 => {
                let (store, signer, parts) = open_s3(&config.s3)?;
                Ok(Self { store, signer, parts, local_root: None, part_size: S3_PART })
            }
        }
    }

    /// Begins a new blob. Nothing is stored before the first part is full or the writer is finished.
    pub fn writer(&self, key: BlobKey) -> BlobWriter {
        let (store, parts) = (Arc::clone(&self.store), self.parts.clone());
        let target = Target { store, parts, local_root: self.local_root.clone(), key };
        BlobWriter::new(target, self.part_size)
    }

    /// Opens a blob, or the part of it that lies within `range`, for reading.
    pub async fn read(&self, key: BlobKey, range: Option<Range<u64>>) -> Result<BlobRead, BlobError> {
        let wanted = range.clone().map(GetRange::Bounded);
        match self.store.get_opts(&key.path(), GetOptions::new().with_range(wanted)).await {
            Ok(result) => Ok(BlobRead::new(key, result)),
            Err(error) => {
                // The stores say "outside" in different ways; the size decides.
                if let (Some(range), Ok(meta)) = (range, self.head(key).await)
                    && (range.is_empty() || range.start >= meta.size)
                {
                    return Err(BlobError::OutOfRange { size: meta.size });
                }
                Err(BlobError::of_object(error, key))
            }
        }
    }

    /// The same of a sealed blob: `size` is that of its content, and so are the bounds of `range`.
    ///
    /// # Errors
    /// Besides, [`BlobError::Unopenable`], also after some of the bytes: what a frame holds is known when it was opened.
    pub async fn read_sealed(
        &self,
        key: BlobKey,
        size: u64,
        range: Option<Range<u64>>,
        content_key: &ContentKey,
    ) -> Result<BlobRead, BlobError> {
        let range = range.unwrap_or(0..size);
        let range = range.start..range.end.min(size);
        if range.is_empty() && size > 0 {
            return Err(BlobError::OutOfRange { size });
        }
        let frames = Frames::holding(&range, size);
        let read = self.read(key, Some(frames.stored.clone())).await?;
        if read.meta.size != sealed_size(size) {
            return Err(BlobError::Unopenable { key });
        }
        Ok(sealed::open(read, size, range, frames, content_key))
    }

    /// An address at which whoever has it can read the blob for so long, where the store gives such: S3 through its usual client.
    pub async fn signed_address(&self, key: BlobKey, lifetime: Duration) -> Result<Option<String>, BlobError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let signed = signer.signed_url(Method::GET, &key.path(), lifetime).await;
        Ok(Some(signed.map_err(|error| BlobError::of_object(error, key))?.into()))
    }

    /// Says what the store knows of a blob.
    pub async fn head(&self, key: BlobKey) -> Result<BlobMeta, BlobError> {
        let meta = self.store.head(&key.path()).await.map_err(|error| BlobError::of_object(error, key))?;
        Ok(BlobMeta::new(key, &meta))
    }

    /// Removes a blob; one that is already gone is fine.
    pub async fn delete(&self, key: BlobKey) -> Result<(), BlobError> {
        match self.store.delete(&key.path()).await.map_err(|error| BlobError::of_object(error, key)) {
            Ok(()) | Err(BlobError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends an upload that its process has left behind: on local disk its unfinished file goes, in S3 its parts, by the name
    /// that was announced ([`BlobWriter::announcing`]). One that has ended is fine.
    pub async fn end_upload(&self, key: BlobKey, name: Option<&str>) -> Result<(), BlobError> {
        if let Some(root) = self.local_root.clone() {
            let removed = tokio::task::spawn_blocking(move || local::remove_left_behind(&root, key)).await;
            return removed.map_err(BlobError::unavailable)?.map_err(BlobError::unavailable);
        }
        let (Some(parts), Some(name)) = (&self.parts, name) else { return Ok(()) };
        let ended = parts.abort_multipart(&key.path(), &name.to_owned()).await;
        match ended.map_err(|error| BlobError::of_object(error, key)) {
            Ok(()) | Err(BlobError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Lists the blobs of one tenant, or of all, in no particular order. Foreign objects are left out.
    pub fn list(&self, tenant: Option<Uuid>) -> BoxStream<'static, Result<BlobMeta, BlobError>> {
        let prefix = tenant.map(|tenant| Path::parse(tenant.to_string()).expect("a uuid is a valid path"));
        self.store
            .list(prefix.as_ref())
            .filter_map(async |entry| match entry {
                Ok(meta) => meta.location.as_ref().parse().ok().map(|key| Ok(BlobMeta::new(key, &meta))),
                Err(error) => Some(Err(BlobError::of_store(error))),
            })
            .boxed()
    }

    /// Asks whether the store answers, for a readiness probe.
    pub async fn check(&self) -> Result<(), BlobError> {
        if let Some(root) = &self.local_root {
            tokio::fs::metadata(root).await.map_err(BlobError::unavailable)?;
        }
        // A listing, because the answer to HEAD can't say that it is the bucket that is missing.
        match self.list(Some(Uuid::nil())).next().await {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(error),
        }
    }

    /// Removes what uploads cut off by a crash left on local disk, where it is older than `age`: what no intent names any more.
    ///
    /// In S3 [`Self::end_upload`] ends each; with the client rusoto a life-cycle rule of the bucket must.
    pub async fn sweep_unfinished(&self, age: Duration) -> Result<u64, BlobError> {
        let Some(root) = self.local_root.clone() else {
            return Ok(0);
        };
        tokio::task::spawn_blocking(move || local::sweep(&root, age))
            .await
            .map_err(BlobError::unavailable)?
            .map_err(BlobError::unavailable)
    }

    /// The object store underneath, for its public test suite; services have no business with it.
    #[doc(hidden)]
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }
}

/// A store, what signs addresses in it, and what names uploads in parts.
type Opened = (Arc<dyn ObjectStore>, Option<Arc<dyn Signer>>, Option<Arc<dyn MultipartStore>>);

fn open_s3(config: &S3Config) -> Result<Opened, BlobError> {
    match config.client {
        S3Client::ObjectStore => {
            let store = Arc::new(s3::open(config)?);
            let (signer, parts) = (Arc::clone(&store), Arc::clone(&store));
            Ok((store, Some(signer), Some(parts)))
        }
        #[cfg(feature = "rusoto")]
        S3Client::Rusoto => Ok((Arc::new(crate::rusoto::open(config)?), None, None)),
        #[cfg(not(feature = "rusoto"))]
        S3Client::Rusoto => Err(BlobError::Config(
            "blobs.s3.client is rusoto, which this build lacks (feature `rusoto` of rowhouse-blobs)".to_owned(),
        )),
    }
}
