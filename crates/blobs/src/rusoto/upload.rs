//! One multipart upload.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::FutureExt;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use rusoto_s3::{
    AbortMultipartUploadRequest, CompleteMultipartUploadRequest, CompletedMultipartUpload, CompletedPart,
    CreateMultipartUploadRequest, S3, UploadPartRequest,
};

use super::RusotoStore;
use super::failure::{failed, generic, retrying};

/// An upload that S3 knows by its id.
#[derive(Clone)]
pub(super) struct RusotoUpload {
    store: RusotoStore,
    location: Path,
    upload_id: String,
    next_part: i64,
    /// Parts finish in any order; S3 wants them sorted.
    done: Arc<Mutex<Vec<CompletedPart>>>,
}

impl fmt::Debug for RusotoUpload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RusotoUpload").field("location", &self.location).finish_non_exhaustive()
    }
}

/// Asks S3 for a new upload.
pub(super) async fn begin(store: RusotoStore, location: &Path) -> Result<RusotoUpload> {
    let request = CreateMultipartUploadRequest {
        bucket: store.bucket.clone(),
        key: location.to_string(),
        ..CreateMultipartUploadRequest::default()
    };
    let output = retrying(|| store.client.create_multipart_upload(request.clone()))
        .await
        .map_err(|error| failed(error, location))?;
    let upload_id = output.upload_id.ok_or_else(|| generic("an upload without an id"))?;
    Ok(RusotoUpload { store, location: location.clone(), upload_id, next_part: 1, done: Arc::default() })
}

impl RusotoUpload {
    async fn send(self, part_number: i64, payload: PutPayload) -> Result<()> {
        let output = retrying(|| {
            self.store.client.upload_part(UploadPartRequest {
                bucket: self.store.bucket.clone(),
                key: self.location.to_string(),
                upload_id: self.upload_id.clone(),
                part_number,
                content_length: Some(super::length(&payload)),
                body: Some(super::body(payload.clone())),
                ..UploadPartRequest::default()
            })
        })
        .await
        .map_err(|error| failed(error, &self.location))?;
        let part = CompletedPart { e_tag: output.e_tag, part_number: Some(part_number) };
        self.done.lock().map_err(|_| generic("a part's task panicked"))?.push(part);
        Ok(())
    }
}

#[async_trait]
impl MultipartUpload for RusotoUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let part_number = self.next_part;
        self.next_part += 1;
        self.clone().send(part_number, payload).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if self.next_part == 1 {
            // S3 refuses an upload without any part.
            self.put_part(PutPayload::default()).await?;
        }
        let mut parts = self.done.lock().map_err(|_| generic("a part's task panicked"))?.clone();
        if i64::try_from(parts.len()) != Ok(self.next_part - 1) {
            return Err(generic("a part is missing"));
        }
        parts.sort_by_key(|part| part.part_number);
        let request = CompleteMultipartUploadRequest {
            bucket: self.store.bucket.clone(),
            key: self.location.to_string(),
            upload_id: self.upload_id.clone(),
            multipart_upload: Some(CompletedMultipartUpload { parts: Some(parts) }),
            ..CompleteMultipartUploadRequest::default()
        };
        let output = retrying(|| self.store.client.complete_multipart_upload(request.clone()))
            .await
            .map_err(|error| failed(error, &self.location))?;
        // S3 can answer 200 and put the error into the body; rusoto then finds no entity tag.
        let e_tag = output.e_tag.ok_or_else(|| generic("the upload was not completed"))?;
        Ok(PutResult { e_tag: Some(e_tag), version: output.version_id, extensions: Default::default() })
    }

    async fn abort(&mut self) -> Result<()> {
        let request = AbortMultipartUploadRequest {
            bucket: self.store.bucket.clone(),
            key: self.location.to_string(),
            upload_id: self.upload_id.clone(),
            ..AbortMultipartUploadRequest::default()
        };
        retrying(|| self.store.client.abort_multipart_upload(request.clone()))
            .await
            .map_err(|error| failed(error, &self.location))?;
        Ok(())
    }
}
