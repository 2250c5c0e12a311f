//! Uploads in parts that can be ended by whoever knows their names: also when the process that began them is gone.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::future::BoxFuture;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartId, MultipartUpload, PutPayload, PutResult, Result, UploadPart};

/// What is told the name of an upload before its first part is stored.
pub(crate) type Announce = Box<dyn FnOnce(String) -> BoxFuture<'static, Announced> + Send + Sync>;
/// What comes of that.
type Announced = std::result::Result<(), Box<dyn Error + Send + Sync>>;

/// An upload whose name is known.
pub(crate) struct NamedUpload {
    store: Arc<dyn MultipartStore>,
    path: Path,
    id: MultipartId,
    begun: usize,
    stored: Arc<Mutex<Vec<(usize, PartId)>>>,
}

impl NamedUpload {
    /// Begins one.
    pub(crate) async fn begin(store: Arc<dyn MultipartStore>, path: Path) -> Result<Self> {
        let id = store.create_multipart(&path).await?;
        Ok(Self { store, path, id, begun: 0, stored: Arc::default() })
    }

    /// What the store calls it.
    pub(crate) fn name(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for NamedUpload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NamedUpload").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl MultipartUpload for NamedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let index = self.begun;
        self.begun += 1;
        let (store, path, id) = (Arc::clone(&self.store), self.path.clone(), self.id.clone());
        let stored = Arc::clone(&self.stored);
        Box::pin(async move {
            let part = store.put_part(&path, &id, index, data).await?;
            stored.lock().unwrap_or_else(PoisonError::into_inner).push((index, part));
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let mut parts = std::mem::take(&mut *self.stored.lock().unwrap_or_else(PoisonError::into_inner));
        if parts.len() != self.begun {
            let source = format!("{} of {} parts are stored", parts.len(), self.begun).into();
            return Err(object_store::Error::Generic { store: "S3", source });
        }
        parts.sort_unstable_by_key(|(index, _)| *index);
        let parts = parts.into_iter().map(|(_, part)| part).collect();
        self.store.complete_multipart(&self.path, &self.id, parts).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.store.abort_multipart(&self.path, &self.id).await
    }
}
