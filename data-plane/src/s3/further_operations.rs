//! The operations of S3 about multipart uploads and versions, out of the way of those in [`operations`](super::operations).

use futures::StreamExt;
use rowhouse_problem::Error;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Checksum, CommonPrefix, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyPartResult, CopySource, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectVersionsInput, ListObjectVersionsOutput,
    ListPartsInput, ListPartsOutput, MultipartUpload, ObjectVersion, ObjectVersionStorageClass, Part,
    UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::authentication::also_reads;
use super::encoding::Encoding;
use super::failure::failure;
use super::headers::Headers;
use super::integrity::Integrity;
use super::metadata;
use super::multipart;
use super::objects::{self, etag};
use super::operations::{Door, MOST_KEYS, body, caller, length, time};
use crate::files::doors;
use crate::uploads::store::Behind;

type Answer<T> = S3Result<S3Response<T>>;

impl Door {
    pub(super) async fn begin(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        let caller = caller(&request)?;
        let input = request.input;
        let workspace = self.workspace(&caller, &input.bucket).await?;
        let headers = Headers::from(&input);
        let metadata = metadata::read(input.metadata, &headers)?;
        let upload = multipart::create(&self.0, &caller, workspace, &input.key, input.content_type, metadata).await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(upload.to_string()),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            ..CreateMultipartUploadOutput::default()
        }))
    }

    pub(super) async fn take_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let caller = caller(&request)?;
        let input = request.input;
        let session = multipart::find(&self.0, &caller, (&input.bucket, &input.key), &input.upload_id).await?;
        let stated = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            ..Checksum::default()
        };
        let integrity = Integrity::new(stated, &request.headers, request.trailing_headers).with_md5(input.content_md5);
        let part = (input.part_number, length(input.content_length)?);
        let body = body(&self.0, input.body);
        let (etag, checksum) = multipart::upload_part(&self.0, &caller, &session, part, integrity, body).await?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(etag),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..UploadPartOutput::default()
        }))
    }

    pub(super) async fn copy_part(&self, request: S3Request<UploadPartCopyInput>) -> Answer<UploadPartCopyOutput> {
        let caller = caller(&request)?;
        also_reads(&caller)?;
        let input = request.input;
        let session = multipart::find(&self.0, &caller, (&input.bucket, &input.key), &input.upload_id).await?;
        let CopySource::Bucket { bucket, key, version_id } = &input.copy_source else {
            return Err(s3_error!(NotImplemented, "copies are of a bucket's objects"));
        };
        let stored = {
            let tenant = caller.connection(&self.0).await.map_err(failure)?;
            objects::stored(&tenant, bucket, key, version_id.as_deref()).await?
        };
        let range = match &input.copy_source_range {
            Some(text) => {
                let range = s3s::dto::Range::parse(text).map_err(|_| s3_error!(InvalidArgument))?;
                Some(range.check(stored.object.size).map_err(|_| s3_error!(InvalidRange))?)
            }
            None => None,
        };
        let size = range.as_ref().map_or(stored.object.size, |range| range.end - range.start);
        let read = doors::read(&self.0, &stored, range).await.map_err(failure)?;
        let body = read.map(|piece| piece.map_err(Error::unavailable));
        let part = (input.part_number, Some(size));
        let (etag, _) = multipart::upload_part(&self.0, &caller, &session, part, Integrity::default(), body).await?;
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(CopyPartResult {
                e_tag: Some(etag),
                last_modified: Some(time(jiff::Timestamp::now())),
                ..CopyPartResult::default()
            }),
            copy_source_version_id: Some(stored.version.to_string()),
            ..UploadPartCopyOutput::default()
        }))
    }

    pub(super) async fn complete(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let caller = caller(&request)?;
        let input = request.input;
        let session = multipart::find(&self.0, &caller, (&input.bucket, &input.key), &input.upload_id).await?;
        let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let conditions = (input.if_match, input.if_none_match);
        let made = multipart::complete(&self.0, &caller, &session, named, conditions).await?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(made.etag),
            version_id: Some(made.version.to_string()),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    pub(super) async fn abort(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        let caller = caller(&request)?;
        let input = request.input;
        let session = multipart::find(&self.0, &caller, (&input.bucket, &input.key), &input.upload_id).await?;
        multipart::abort(&self.0, &caller, &session).await?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    pub(super) async fn parts(&self, request: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        let caller = caller(&request)?;
        let input = request.input;
        let session = multipart::find(&self.0, &caller, (&input.bucket, &input.key), &input.upload_id).await?;
        let marker = input.part_number_marker.unwrap_or(0);
        let most = usize::try_from(input.max_parts.unwrap_or(1000).clamp(0, 1000)).unwrap_or(0);
        let mut found = multipart::parts(&self.0, &caller, &session).await?;
        found.retain(|part| part.number > marker);
        let is_truncated = found.len() > most;
        found.truncate(most);
        let next = found.last().filter(|_| is_truncated).map(|part| part.number);
        let parts = found.into_iter().map(|part| Part {
            part_number: Some(part.number),
            e_tag: Some(etag(&part.sha256)),
            size: Some(part.size),
            last_modified: Some(time(part.created_at)),
            ..Part::default()
        });
        Ok(S3Response::new(ListPartsOutput {
            parts: Some(parts.collect()),
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            part_number_marker: input.part_number_marker,
            max_parts: input.max_parts,
            is_truncated: Some(is_truncated),
            next_part_number_marker: next,
            ..ListPartsOutput::default()
        }))
    }

    pub(super) async fn uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        let caller = caller(&request)?;
        let input = request.input;
        let encoding = Encoding::read(input.encoding_type.as_ref())?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let key = input.key_marker.clone().unwrap_or_default();
        // It counts with its key only.
        let upload = match input.upload_id_marker.as_deref().filter(|text| !text.is_empty() && !key.is_empty()) {
            Some(text) => Some(text.parse().map_err(|_| s3_error!(InvalidArgument, "the marker is no upload's id"))?),
            None => None,
        };
        let behind = Behind { key: &key, upload };
        let most = usize::try_from(input.max_uploads.unwrap_or(MOST_KEYS).clamp(1, MOST_KEYS)).unwrap_or(1);
        let (found, is_truncated) = multipart::list(&self.0, &caller, (&input.bucket, &prefix), &behind, most).await?;
        let last = found.last().filter(|_| is_truncated);
        let next = last.map(|session| (session.new.name.clone().unwrap_or_default(), session.new.id.to_string()));
        let (next_key, next_upload) = next.unzip();
        let uploads = found.into_iter().map(|session| MultipartUpload {
            key: session.new.name.map(|key| encoding.text(key)),
            upload_id: Some(session.new.id.to_string()),
            initiated: Some(time(session.created_at)),
            ..MultipartUpload::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            uploads: Some(uploads.collect()),
            bucket: Some(input.bucket),
            prefix: input.prefix.map(|prefix| encoding.text(prefix)),
            encoding_type: encoding.told(),
            key_marker: input.key_marker.map(|key| encoding.text(key)),
            upload_id_marker: input.upload_id_marker,
            next_key_marker: next_key.map(|key| encoding.text(key)),
            next_upload_id_marker: next_upload,
            max_uploads: input.max_uploads,
            is_truncated: Some(is_truncated),
            ..ListMultipartUploadsOutput::default()
        }))
    }

    pub(super) async fn versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> Answer<ListObjectVersionsOutput> {
        let caller = caller(&request)?;
        let input = request.input;
        let encoding = Encoding::read(input.encoding_type.as_ref())?;
        let how = (input.prefix.as_deref(), input.delimiter.as_deref());
        let behind = (input.key_marker.as_deref(), input.version_id_marker.as_deref());
        let page = self.list_versions(&caller, &input.bucket, how, behind, input.max_keys).await?;
        let (next_key, next_version) = page.next.unzip();
        let versions = page.versions.into_iter().map(|(key, is_latest, version)| ObjectVersion {
            key: Some(encoding.text(key)),
            version_id: Some(version.version_number.to_string()),
            is_latest: Some(is_latest),
            e_tag: Some(etag(&version.checksum)),
            size: Some(version.size),
            last_modified: Some(time(version.created_at)),
            storage_class: Some(ObjectVersionStorageClass::from_static(ObjectVersionStorageClass::STANDARD)),
            ..ObjectVersion::default()
        });
        let prefixes = page.prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(encoding.text(prefix)) });
        Ok(S3Response::new(ListObjectVersionsOutput {
            versions: Some(versions.collect()),
            common_prefixes: Some(prefixes.collect()),
            name: Some(input.bucket),
            prefix: input.prefix.map(|prefix| encoding.text(prefix)),
            delimiter: input.delimiter,
            key_marker: input.key_marker.map(|key| encoding.text(key)),
            encoding_type: encoding.told(),
            max_keys: input.max_keys,
            version_id_marker: input.version_id_marker,
            is_truncated: Some(next_key.is_some()),
            next_version_id_marker: next_version,
            next_key_marker: next_key.map(|key| encoding.text(key)),
            ..ListObjectVersionsOutput::default()
        }))
    }
}
