//! Blobs in S3 through `rusoto_s3`: an implementation of `object_store`'s trait, in builds with the feature `rusoto`.
//!
//! Rusoto is unmaintained (RUSTSEC-2022-0071) and knows nothing of S3's conditional writes, so `PutMode::Create`,
//! `PutMode::Update` and copying without overwriting answer `NotImplemented`. Blobs need none of them: their keys are
//! random and written once. It speaks path style only and asks instance metadata by version 1 only.

mod failure;
mod list;
mod upload;

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rusoto_core::credential::{ChainProvider, StaticProvider};
use rusoto_core::{ByteStream, Client, HttpClient, Region};
use rusoto_s3::{
    CopyObjectRequest, DeleteObjectRequest, GetObjectOutput, GetObjectRequest, HeadObjectRequest, PutObjectRequest, S3,
    S3Client,
};
use secrecy::ExposeSecret;

use crate::config::S3Config;
use crate::error::BlobError;
use crate::s3;
use failure::{failed, generic, retrying};

/// What may not stand as it is in the header that names the source of a copy.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A bucket that is reached through rusoto.
#[derive(Clone)]
pub(crate) struct RusotoStore {
    client: S3Client,
    bucket: String,
}

impl fmt::Display for RusotoStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Rusoto({})", self.bucket)
    }
}

impl fmt::Debug for RusotoStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RusotoStore").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// Builds the client; nothing is asked of the service yet.
pub(crate) fn open(config: &S3Config) -> Result<RusotoStore, BlobError> {
    s3::check(config)?;
    if !config.path_style {
        return Err(BlobError::Config("blobs.s3.client rusoto needs blobs.s3.path_style = true".to_owned()));
    }
    let region = match &config.endpoint {
        Some(endpoint) => Region::Custom { name: config.region.clone(), endpoint: endpoint.clone() },
        None => config
            .region
            .parse()
            .map_err(|_| BlobError::Config(format!("blobs.s3.region {} is unknown to rusoto", config.region)))?,
    };
    let http = HttpClient::new().map_err(|error| BlobError::Config(format!("blobs.s3: {error}")))?;
    let client = match (&config.access_key_id, &config.secret_access_key) {
        (Some(id), Some(secret)) => {
            let token = config.session_token.as_ref().map(|token| token.expose_secret().to_owned());
            let provider = StaticProvider::new(id.clone(), secret.expose_secret().to_owned(), token, None);
            Client::new_with(provider, http)
        }
        (None, _) | (_, None) => Client::new_with(ChainProvider::new(), http),
    };
    Ok(RusotoStore { client: S3Client::new_with_client(client, region), bucket: config.bucket.clone() })
}

#[async_trait]
impl ObjectStore for RusotoStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.refuse(!matches!(options.mode, PutMode::Overwrite), "conditional puts")?;
        self.refuse(!options.attributes.is_empty() || !options.tags.encoded().is_empty(), "attributes and tags")?;
        let output = retrying(|| {
            self.client.put_object(PutObjectRequest {
                bucket: self.bucket.clone(),
                key: location.to_string(),
                content_length: Some(length(&payload)),
                body: Some(body(payload.clone())),
                ..PutObjectRequest::default()
            })
        })
        .await
        .map_err(|error| failed(error, location))?;
        Ok(PutResult { e_tag: output.e_tag, version: output.version_id, extensions: Default::default() })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.refuse(!options.attributes.is_empty() || !options.tags.encoded().is_empty(), "attributes and tags")?;
        Ok(Box::new(upload::begin(self.clone(), location).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            return self.head_result(location, &options).await;
        }
        let request = GetObjectRequest {
            bucket: self.bucket.clone(),
            key: location.to_string(),
            range: options.range.as_ref().map(ToString::to_string),
            if_match: options.if_match.clone(),
            if_none_match: options.if_none_match.clone(),
            if_modified_since: options.if_modified_since.map(http_date),
            if_unmodified_since: options.if_unmodified_since.map(http_date),
            version_id: options.version.clone(),
            ..GetObjectRequest::default()
        };
        let mut output = retrying(|| self.client.get_object(request.clone()))
            .await
            .map_err(|error| failure::of_get(error, location))?;
        let (range, size) = extent(&output, options.range.is_some())?;
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: parse_http_date(output.last_modified.as_deref())?,
            size,
            e_tag: output.e_tag.take(),
            version: output.version_id.take(),
        };
        let body = output.body.take().ok_or_else(|| generic("an answer without a body"))?;
        Ok(GetResult {
            payload: GetResultPayload::Stream(body.map_err(generic).boxed()),
            meta,
            range,
            attributes: Attributes::default(),
            extensions: Default::default(),
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .map(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    let request = DeleteObjectRequest {
                        bucket: store.bucket.clone(),
                        key: location.to_string(),
                        ..DeleteObjectRequest::default()
                    };
                    retrying(|| store.client.delete_object(request.clone()))
                        .await
                        .map_err(|error| failed(error, &location))?;
                    Ok(location)
                }
            })
            .buffered(10)
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        list::all(self.clone(), prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        list::all(self.clone(), prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        list::one_level(self.clone(), prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.refuse(!matches!(options.mode, CopyMode::Overwrite), "copying without overwriting")?;
        let request = CopyObjectRequest {
            bucket: self.bucket.clone(),
            key: to.to_string(),
            // Unlike every other parameter this one must come encoded.
            copy_source: format!("{}/{}", self.bucket, utf8_percent_encode(from.as_ref(), ENCODED)),
            ..CopyObjectRequest::default()
        };
        retrying(|| self.client.copy_object(request.clone())).await.map_err(|error| failed(error, from))?;
        Ok(())
    }
}

impl RusotoStore {
    async fn head_result(&self, location: &Path, options: &GetOptions) -> Result<GetResult> {
        let request = HeadObjectRequest {
            bucket: self.bucket.clone(),
            key: location.to_string(),
            if_match: options.if_match.clone(),
            if_none_match: options.if_none_match.clone(),
            if_modified_since: options.if_modified_since.map(http_date),
            if_unmodified_since: options.if_unmodified_since.map(http_date),
            version_id: options.version.clone(),
            ..HeadObjectRequest::default()
        };
        let output =
            retrying(|| self.client.head_object(request.clone())).await.map_err(|error| failed(error, location))?;
        let size = unsigned(output.content_length)?;
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: parse_http_date(output.last_modified.as_deref())?,
            size,
            e_tag: output.e_tag,
            version: output.version_id,
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(futures::stream::empty().boxed()),
            meta,
            range: 0..size,
            attributes: Attributes::default(),
            extensions: Default::default(),
        })
    }

    fn refuse(&self, when: bool, operation: &str) -> Result<()> {
        if when {
            return Err(Error::NotImplemented { operation: operation.to_owned(), implementer: self.to_string() });
        }
        Ok(())
    }
}

/// A streamed body: its signature covers the headers only, its integrity is left to TLS.
fn body(payload: PutPayload) -> ByteStream {
    let size = payload.content_length();
    ByteStream::new_with_size(futures::stream::iter(payload.into_iter().map(Ok)), size)
}

fn length(payload: &PutPayload) -> i64 {
    i64::try_from(payload.content_length()).expect("no allocation is larger than i64::MAX")
}

/// Which bytes an answer holds, and the size of the whole object.
fn extent(output: &GetObjectOutput, partial: bool) -> Result<(Range<u64>, u64)> {
    let length = unsigned(output.content_length)?;
    let Some(content_range) = output.content_range.as_deref() else {
        // A server may ignore a range that covers everything, but must not pass the whole for a part.
        return if partial { Err(generic("an answer without Content-Range")) } else { Ok((0..length, length)) };
    };
    let parse = || {
        let (range, size) = content_range.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let range = first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?;
        (range.start < range.end).then_some((range, size.parse().ok()?))
    };
    parse().ok_or_else(|| generic("an answer with an unreadable Content-Range"))
}

fn unsigned(length: Option<i64>) -> Result<u64> {
    length.and_then(|length| u64::try_from(length).ok()).ok_or_else(|| generic("an answer without its length"))
}

fn http_date(time: chrono::DateTime<chrono::Utc>) -> String {
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn parse_http_date(text: Option<&str>) -> Result<chrono::DateTime<chrono::Utc>> {
    let text = text.ok_or_else(|| generic("an answer without Last-Modified"))?;
    Ok(chrono::DateTime::parse_from_rfc2822(text).map_err(generic)?.to_utc())
}
