//! Listing a bucket, page by page.

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result};
use rusoto_s3::{ListObjectsV2Output, ListObjectsV2Request, Object, S3};

use super::RusotoStore;
use super::failure::{failed, generic, retrying};

/// Lists every object below a prefix, after `offset`.
pub(super) fn all(
    store: RusotoStore,
    prefix: Option<&Path>,
    offset: Option<&Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let request = ListObjectsV2Request {
        start_after: offset.map(ToString::to_string).filter(|offset| !offset.is_empty()),
        ..first_request(&store, prefix)
    };
    let prefix = prefix.cloned().unwrap_or_default();
    pages(store, request)
        .map_ok(|page| stream::iter(page.contents.unwrap_or_default().into_iter().map(meta)))
        .try_flatten()
        // An object may have the very name that is asked for as a folder.
        .try_filter(move |meta| futures::future::ready(meta.location != prefix))
        .boxed()
}

/// Lists what lies directly below a prefix.
pub(super) async fn one_level(store: RusotoStore, prefix: Option<&Path>) -> Result<ListResult> {
    let request = ListObjectsV2Request { delimiter: Some("/".to_owned()), ..first_request(&store, prefix) };
    let mut pages = pages(store, request);
    let mut result = ListResult { common_prefixes: Vec::new(), objects: Vec::new(), extensions: Default::default() };
    while let Some(page) = pages.try_next().await? {
        for folder in page.common_prefixes.unwrap_or_default() {
            result.common_prefixes.push(Path::parse(folder.prefix.unwrap_or_default())?);
        }
        for object in page.contents.unwrap_or_default() {
            result.objects.push(meta(object)?);
        }
    }
    Ok(result)
}

fn first_request(store: &RusotoStore, prefix: Option<&Path>) -> ListObjectsV2Request {
    ListObjectsV2Request {
        bucket: store.bucket.clone(),
        // A prefix is a folder here: `foo` does not cover `foo.bar/y`.
        prefix: prefix.filter(|prefix| !prefix.as_ref().is_empty()).map(|prefix| format!("{prefix}/")),
        ..ListObjectsV2Request::default()
    }
}

fn pages(store: RusotoStore, request: ListObjectsV2Request) -> BoxStream<'static, Result<ListObjectsV2Output>> {
    stream::try_unfold(Some((store, request)), async |state| {
        let Some((store, mut request)) = state else {
            return Ok(None);
        };
        let page = retrying(|| store.client.list_objects_v2(request.clone()))
            .await
            .map_err(|error| failed(error, &Path::default()))?;
        let next = page.next_continuation_token.clone().filter(|_| page.is_truncated == Some(true));
        let state = next.map(|token| {
            request.continuation_token = Some(token);
            (store, request)
        });
        Ok(Some((page, state)))
    })
    .boxed()
}

fn meta(object: Object) -> Result<ObjectMeta> {
    let modified = object.last_modified.ok_or_else(|| generic("an object without LastModified"))?;
    Ok(ObjectMeta {
        location: Path::parse(object.key.unwrap_or_default())?,
        last_modified: chrono::DateTime::parse_from_rfc3339(&modified).map_err(generic)?.to_utc(),
        size: super::unsigned(object.size)?,
        e_tag: object.e_tag,
        version: None,
    })
}
