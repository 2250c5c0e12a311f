//! The operations of S3 that are offered.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::StreamExt;
use rowhouse_domain::WorkspaceId;
use rowhouse_problem::Error;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Bucket, BucketVersioningStatus, Checksum, CommonPrefix,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput, CopyObjectResult,
    CopySource, CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteBucketInput, DeleteBucketOutput, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput,
    DeleteObjectsOutput, DeletedObject, GetBucketLocationInput, GetBucketLocationOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput,
    HeadObjectOutput, ListBucketsInput, ListBucketsOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, ListPartsInput, ListPartsOutput, Object, ObjectStorageClass, PutObjectInput, PutObjectOutput,
    StreamingBlob, Timestamp, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use uuid::Uuid;

use super::authentication::also_reads;
use super::encoding::Encoding;
use super::failure::failure;
use super::headers::Headers;
use super::integrity::Integrity;
use super::listing::{self, Item, Page, Wanted};
use super::objects::{self, Incoming, etag, names};
use super::{bucket, buckets, metadata, store};
use crate::authentication::Caller;
use crate::files::doors::{self, Said, Stored};
use crate::folders;
use crate::state::AppState;

/// Most keys of a list, as with S3.
pub(super) const MOST_KEYS: i32 = 1000;

/// The tenant's files as objects.
pub(super) struct Door(pub(super) AppState);

pub(super) fn caller<T>(request: &S3Request<T>) -> S3Result<Caller> {
    request.extensions.get::<Caller>().cloned().ok_or_else(|| s3_error!(AccessDenied))
}

pub(super) fn time(time: jiff::Timestamp) -> Timestamp {
    Timestamp::from(std::time::SystemTime::from(time))
}

/// What a body's stream says in our words, its sender's pace bounded.
pub(super) fn body(
    state: &AppState,
    body: Option<StreamingBlob>,
) -> impl futures::Stream<Item = rowhouse_problem::Result<Bytes>> + Send {
    let body = body.unwrap_or_else(|| StreamingBlob::from(Body::empty()));
    doors::paced(state, body)
}

impl Door {
    pub(super) async fn list(
        &self,
        caller: &Caller,
        name: &str,
        (prefix, delimiter): (Option<&str>, Option<&str>),
        after: &str,
        max_keys: Option<i32>,
    ) -> S3Result<Page> {
        let is_flat = match delimiter {
            None | Some("") => false,
            Some("/") => true,
            Some(_) => return Err(s3_error!(NotImplemented, "the only delimiter is `/`")),
        };
        let limit = max_keys.unwrap_or(MOST_KEYS).clamp(0, MOST_KEYS);
        let work = async {
            let tenant = caller.connection(&self.0).await.map_err(failure)?;
            let workspace = objects::workspace(&tenant, name).await?;
            let limit = usize::try_from(limit).unwrap_or(0);
            let wanted = Wanted { workspace, prefix: prefix.unwrap_or_default(), is_flat, after, limit };
            listing::list(&tenant, &wanted).await.map_err(failure)
        };
        let patience = self.0.settings.data_plane.request_timeout;
        tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(s3_error!(ServiceUnavailable)))
    }

    pub(super) async fn workspace(&self, caller: &Caller, name: &str) -> S3Result<WorkspaceId> {
        let tenant = caller.connection(&self.0).await.map_err(failure)?;
        objects::workspace(&tenant, name).await
    }
}

fn split(items: Vec<Item>, encoding: Encoding) -> (Vec<Object>, Vec<CommonPrefix>) {
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            Item::Prefix(prefix) => prefixes.push(CommonPrefix { prefix: Some(encoding.text(prefix)) }),
            Item::Object { key, found } => contents.push(Object {
                key: Some(encoding.text(key)),
                e_tag: Some(etag(&found.checksum)),
                size: Some(found.size),
                last_modified: Some(time(found.modified)),
                storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
                ..Object::default()
            }),
        }
    }
    (contents, prefixes)
}

/// Refuses what the conditions of a read don't allow, in the order of RFC 9110 §13.2.2.
fn check_conditions(stored: &Stored, input: &GetObjectInput) -> S3Result<()> {
    let (tag, modified) = (etag(&stored.sha256), seconds(&time(stored.created_at)));
    if let Some(condition) = &input.if_match {
        if !names(condition, &tag) {
            return Err(s3_error!(PreconditionFailed));
        }
    } else if input.if_unmodified_since.as_ref().is_some_and(|since| modified > seconds(since)) {
        return Err(s3_error!(PreconditionFailed));
    }
    let is_known = match (&input.if_none_match, &input.if_modified_since) {
        (Some(condition), _) => names(condition, &tag),
        (None, Some(since)) => modified <= seconds(since),
        (None, None) => false,
    };
    if is_known {
        return Err(S3Error::new(S3ErrorCode::NotModified));
    }
    Ok(())
}

/// As HTTP's dates go.
fn seconds(time: &Timestamp) -> i64 {
    time::OffsetDateTime::from(time.clone()).unix_timestamp()
}

#[async_trait]
impl S3 for Door {
    async fn list_buckets(&self, request: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let caller = caller(&request)?;
        let tenant = caller.connection(&self.0).await.map_err(failure)?;
        let (mut buckets, mut after) = (Vec::new(), Uuid::nil());
        loop {
            let found = store::list_buckets(&tenant, after, i64::from(MOST_KEYS)).await.map_err(failure)?;
            let Some(last) = found.last() else { break };
            after = last.id.as_uuid();
            buckets.extend(found.iter().map(|one| Bucket {
                name: Some(bucket::name(one.id, one.identifier.as_deref())),
                creation_date: Some(time(one.created_at)),
                bucket_region: None,
            }));
            if buckets.len() >= 10_000 {
                break;
            }
        }
        buckets.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(S3Response::new(ListBucketsOutput { buckets: Some(buckets), ..ListBucketsOutput::default() }))
    }

    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        buckets::make(&self.0, &caller(&request)?, &request.input.bucket).await?;
        let location = Some(format!("/{}", request.input.bucket));
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    async fn delete_bucket(&self, request: S3Request<DeleteBucketInput>) -> S3Result<S3Response<DeleteBucketOutput>> {
        buckets::remove(&self.0, &caller(&request)?, &request.input.bucket).await?;
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.workspace(&caller(&request)?, &request.input.bucket).await?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.workspace(&caller(&request)?, &request.input.bucket).await?;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        self.workspace(&caller(&request)?, &request.input.bucket).await?;
        let status = BucketVersioningStatus::from_static(BucketVersioningStatus::ENABLED);
        Ok(S3Response::new(GetBucketVersioningOutput { status: Some(status), ..GetBucketVersioningOutput::default() }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let caller = caller(&request)?;
        let input = request.input;
        let encoding = Encoding::read(input.encoding_type.as_ref())?;
        let after = match &input.continuation_token {
            Some(token) => URL_SAFE_NO_PAD
                .decode(token)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| s3_error!(InvalidArgument, "the continuation token is none of ours"))?,
            None => input.start_after.clone().unwrap_or_default(),
        };
        let how = (input.prefix.as_deref(), input.delimiter.as_deref());
        let page = self.list(&caller, &input.bucket, how, &after, input.max_keys).await?;
        let next = page.next.map(|key| URL_SAFE_NO_PAD.encode(key));
        let (contents, prefixes) = split(page.items, encoding);
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix.map(|prefix| encoding.text(prefix)),
            delimiter: input.delimiter,
            max_keys: Some(input.max_keys.unwrap_or(MOST_KEYS).clamp(0, MOST_KEYS)),
            key_count: i32::try_from(contents.len() + prefixes.len()).ok(),
            continuation_token: input.continuation_token,
            start_after: input.start_after.map(|key| encoding.text(key)),
            encoding_type: encoding.told(),
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            contents: Some(contents),
            common_prefixes: Some(prefixes),
            request_charged: None,
        }))
    }

    async fn list_objects(&self, request: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        let caller = caller(&request)?;
        let input = request.input;
        let encoding = Encoding::read(input.encoding_type.as_ref())?;
        let after = match &input.marker {
            // A prefix that was the last of a page stands for what lies under it.
            Some(marker) if marker.ends_with('/') && input.delimiter.is_some() => format!("{marker}{}", char::MAX),
            Some(marker) => marker.clone(),
            None => String::new(),
        };
        let how = (input.prefix.as_deref(), input.delimiter.as_deref());
        let page = self.list(&caller, &input.bucket, how, &after, input.max_keys).await?;
        let next = page.next.map(|key| encoding.text(key.trim_end_matches(char::MAX).to_owned()));
        let (contents, prefixes) = split(page.items, encoding);
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: input.prefix.map(|prefix| encoding.text(prefix)),
            delimiter: input.delimiter,
            marker: input.marker.map(|key| encoding.text(key)),
            max_keys: Some(input.max_keys.unwrap_or(MOST_KEYS).clamp(0, MOST_KEYS)),
            encoding_type: encoding.told(),
            is_truncated: Some(next.is_some()),
            next_marker: next,
            contents: Some(contents),
            common_prefixes: Some(prefixes),
            request_charged: None,
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let caller = caller(&request)?;
        let input = request.input;
        let stored = {
            let tenant = caller.connection(&self.0).await.map_err(failure)?;
            objects::stored(&tenant, &input.bucket, &input.key, input.version_id.as_deref()).await?
        };
        check_conditions(&stored, &input)?;
        let told = Headers::from(&input).or(Headers::of(stored.user_metadata.as_ref()));
        let part = match &input.range {
            Some(range) => Some(range.check(stored.object.size).map_err(|_| s3_error!(InvalidRange))?),
            None => None,
        };
        let length = part.as_ref().map_or(stored.object.size, |part| part.end - part.start);
        let content_range =
            part.as_ref().map(|part| format!("bytes {}-{}/{}", part.start, part.end - 1, stored.object.size));
        let body = if length == 0 {
            StreamingBlob::from(Body::empty())
        } else {
            let read = doors::read(&self.0, &stored, part).await.map_err(failure)?;
            StreamingBlob::wrap(sync_wrapper::SyncStream::new(read))
        };
        // Of the whole content, which a part of it would not match.
        let (checksum_sha256, checksum_type) =
            objects::checksum(input.checksum_mode.as_ref().filter(|_| input.range.is_none()), &stored.sha256);
        let output = GetObjectOutput {
            body: Some(body),
            checksum_sha256,
            checksum_type,
            content_length: i64::try_from(length).ok(),
            content_range,
            accept_ranges: Some("bytes".to_owned()),
            content_type: Some(input.response_content_type.unwrap_or_else(|| stored.mime_type.clone())),
            content_disposition: told.content_disposition,
            cache_control: told.cache_control,
            content_encoding: told.content_encoding,
            content_language: told.content_language,
            expires: told.expires,
            e_tag: Some(etag(&stored.sha256)),
            last_modified: Some(time(stored.created_at)),
            metadata: metadata::told(stored.user_metadata.as_ref()),
            version_id: Some(stored.version.to_string()),
            ..GetObjectOutput::default()
        };
        let mut response = S3Response::new(output);
        if input.range.is_some() {
            response.status = Some(http::StatusCode::PARTIAL_CONTENT);
        }
        Ok(response)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let caller = caller(&request)?;
        let input = request.input;
        let tenant = caller.connection(&self.0).await.map_err(failure)?;
        let stored = objects::stored(&tenant, &input.bucket, &input.key, input.version_id.as_deref()).await?;
        let told = Headers::from(&input).or(Headers::of(stored.user_metadata.as_ref()));
        let conditions = GetObjectInput {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
            ..GetObjectInput::default()
        };
        check_conditions(&stored, &conditions)?;
        let (checksum_sha256, checksum_type) = objects::checksum(input.checksum_mode.as_ref(), &stored.sha256);
        Ok(S3Response::new(HeadObjectOutput {
            checksum_sha256,
            checksum_type,
            content_length: i64::try_from(stored.object.size).ok(),
            accept_ranges: Some("bytes".to_owned()),
            metadata: metadata::told(stored.user_metadata.as_ref()),
            content_type: Some(input.response_content_type.unwrap_or(stored.mime_type)),
            content_disposition: told.content_disposition,
            cache_control: told.cache_control,
            content_encoding: told.content_encoding,
            content_language: told.content_language,
            expires: told.expires,
            e_tag: Some(etag(&stored.sha256)),
            last_modified: Some(time(stored.created_at)),
            version_id: Some(stored.version.to_string()),
            ..HeadObjectOutput::default()
        }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let caller = caller(&request)?;
        let mut input = request.input;
        if let Some(folder) = input.key.strip_suffix('/') {
            // What clients make where they want a folder to be.
            if input.content_length.is_some_and(|length| length > 0) {
                return Err(s3_error!(InvalidArgument, "a key that ends with a slash is a folder and has no content"));
            }
            let workspace = self.workspace(&caller, &input.bucket).await?;
            let key = super::key::ObjectKey::parse(&format!("{folder}/"))?;
            folders::doors::ensure(&self.0, &caller, workspace, &key.folders).await.map_err(failure)?;
            return Ok(S3Response::new(PutObjectOutput::default()));
        }
        let metadata = metadata::read(input.metadata.take(), &Headers::from(&input))?;
        let stated = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            ..Checksum::default()
        };
        let integrity = Integrity::new(stated, &request.headers, request.trailing_headers);
        let incoming = Incoming {
            bucket: &input.bucket,
            key: &input.key,
            length: length(input.content_length)?,
            media_type: input.content_type,
            metadata,
            md5: input.content_md5,
            if_match: input.if_match,
            if_none_match: input.if_none_match,
        };
        let body = body(&self.0, input.body);
        let made = objects::put(&self.0, &caller, incoming, integrity, body).await?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(made.etag),
            version_id: Some(made.version.to_string()),
            checksum_crc32: made.checksum.checksum_crc32,
            checksum_crc32c: made.checksum.checksum_crc32c,
            checksum_crc64nvme: made.checksum.checksum_crc64nvme,
            checksum_sha1: made.checksum.checksum_sha1,
            checksum_sha256: made.checksum.checksum_sha256,
            ..PutObjectOutput::default()
        }))
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let caller = caller(&request)?;
        also_reads(&caller)?;
        let input = request.input;
        let CopySource::Bucket { bucket: from, key, version_id } = &input.copy_source else {
            return Err(s3_error!(NotImplemented, "copies are of a bucket's objects"));
        };
        let headers = Headers::from(&input);
        let is_said = metadata::of_copy(input.metadata_directive.as_ref(), input.metadata, &headers)?;
        let stored = {
            let tenant = caller.connection(&self.0).await.map_err(failure)?;
            objects::stored(&tenant, from, key, version_id.as_deref()).await?
        };
        let tag = etag(&stored.sha256);
        let is_refused = input.copy_source_if_match.as_ref().is_some_and(|condition| !names(condition, &tag))
            || input.copy_source_if_none_match.as_ref().is_some_and(|condition| names(condition, &tag));
        if is_refused {
            return Err(s3_error!(PreconditionFailed));
        }
        let is_retyped = input.content_type.as_ref().is_some_and(|kind| *kind != stored.mime_type);
        let (tag, version) = if let (Some(Said(metadata)), true) = (&is_said, is_retyped) {
            // What a content is taken for is found out as it comes in.
            let read = doors::read(&self.0, &stored, None).await.map_err(failure)?;
            let incoming = Incoming {
                bucket: &input.bucket,
                key: &input.key,
                length: Some(stored.object.size),
                media_type: input.content_type,
                metadata: metadata.clone(),
                md5: None,
                if_match: None,
                if_none_match: None,
            };
            let body = read.map(|piece| piece.map_err(Error::unavailable));
            let made = objects::put(&self.0, &caller, incoming, Integrity::default(), body).await?;
            (made.etag, made.version)
        } else {
            objects::copy(&self.0, &caller, &stored, (&input.bucket, &input.key), is_said).await?
        };
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: Some(tag),
                last_modified: Some(time(jiff::Timestamp::now())),
                ..CopyObjectResult::default()
            }),
            copy_source_version_id: Some(stored.version.to_string()),
            version_id: Some(version.to_string()),
            ..CopyObjectOutput::default()
        }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let caller = caller(&request)?;
        let input = request.input;
        let workspace = self.workspace(&caller, &input.bucket).await?;
        objects::delete(&self.0, &caller, workspace, &input.key, input.version_id.as_deref()).await?;
        Ok(S3Response::new(DeleteObjectOutput { version_id: input.version_id, ..DeleteObjectOutput::default() }))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let caller = caller(&request)?;
        let input = request.input;
        if input.delete.objects.len() > 1000 {
            return Err(s3_error!(MalformedXML, "at most 1000 objects are deleted at once"));
        }
        let workspace = self.workspace(&caller, &input.bucket).await?;
        let is_quiet = input.delete.quiet.unwrap_or(false);
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            match objects::delete(&self.0, &caller, workspace, &object.key, object.version_id.as_deref()).await {
                Ok(()) if is_quiet => {}
                Ok(()) => deleted.push(DeletedObject {
                    key: Some(object.key),
                    version_id: object.version_id,
                    ..DeletedObject::default()
                }),
                Err(error) => errors.push(s3s::dto::Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(object.key),
                    message: error.message().map(str::to_owned),
                    version_id: object.version_id,
                }),
            }
        }
        Ok(S3Response::new(DeleteObjectsOutput { deleted: Some(deleted), errors: Some(errors), request_charged: None }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.begin(request).await
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.take_part(request).await
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        self.copy_part(request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.complete(request).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.abort(request).await
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.parts(request).await
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        self.uploads(request).await
    }

    async fn list_object_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        self.versions(request).await
    }
}

pub(super) fn length(length: Option<i64>) -> S3Result<Option<u64>> {
    length.map(|length| u64::try_from(length).map_err(|_| s3_error!(InvalidArgument))).transpose()
}
