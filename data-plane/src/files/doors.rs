//! Contents in and out for those who come by another door than `/v1/files`: what they may use of this resource.
//!
//! The same functions as for the native door do the work, so that what comes in by one is seen by all.

use std::ops::Range;

use actix_web::error::PayloadError;
use actix_web::http::Method;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use rowhouse_blobs::{BlobBody, BlobError, BlobKey, BlobWriter};
use rowhouse_database::Sql;
use rowhouse_domain::{FileId, ReservationId, UploadId};
use rowhouse_problem::{Error, Result};
use rowhouse_web::{IdempotencyKey, IfMatch, IfNoneMatch};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::content::{declared, receive_raw, refuse_encoded};
use super::destination::Destination;
use super::digest::Expected;
use super::download::{self, Wish};
use super::intents::{self, Intent};
use super::model::{Place, Version};
use super::pace::{Paced, broken};
use super::pulse::ran_out;
use super::slots::Slot;
use super::upload::{Begun, Declared, Identity};
use super::{change, copy, finalize, store, upload, versions};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::contents::{OpenKey, blob_failure};
use crate::state::AppState;

pub(crate) use super::copy::Said;
pub(crate) use super::download::{Delivery, POLICY};
pub(crate) use super::said::HEADER_MARK;
pub(crate) use super::upload::Upload;
pub(crate) use super::versions::Stored;

/// What streams of other crates fail with.
type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// A new file that comes in.
pub(crate) struct Incoming<'a> {
    /// What tells a repetition: the route, and the key under it.
    pub(crate) route: &'a str,
    pub(crate) key: &'a IdempotencyKey,
    /// Until when it may be repeated.
    pub(crate) until: Timestamp,
    pub(crate) place: Place,
    /// Its exact length, also where no header says one.
    pub(crate) length: Option<u64>,
    pub(crate) media_type: Option<String>,
}

/// Uploads a new file: the body is the content.
pub(crate) async fn upload(
    state: &AppState,
    caller: &Caller,
    incoming: Incoming<'_>,
    request: &HttpRequest,
    payload: Payload,
) -> Result<Answer> {
    refuse_encoded(request)?;
    let stated = declared(request)?;
    let declared = Declared {
        length: incoming.length.or(stated.length),
        media_type: incoming.media_type.or(stated.media_type),
        ..stated
    };
    let identity = Identity::new(incoming.route, incoming.key, &declared.length);
    let identity = Identity { until: Some(incoming.until), ..identity };
    let slot = state.upload_slots.enter(caller.tenant()).await?;
    let destination = Destination::New(FileId::new(), incoming.place);
    let begun = upload::begin(state, caller, destination, declared, &identity, slot, None).await?;
    receive_raw(state, begun, payload).await
}

/// What is to become of a content that another protocol brings: the file of a name, new or with a new version.
pub(crate) struct Put {
    pub(crate) place: Place,
    /// Whether there must be no file of the name yet.
    pub(crate) must_be_new: bool,
    /// The content that the file must have now.
    pub(crate) condition: IfMatch,
    pub(crate) length: Option<u64>,
    pub(crate) media_type: Option<String>,
    /// What else is said of the content, as an object of texts.
    pub(crate) user_metadata: Option<Value>,
    /// In base64, as `Content-MD5` has it.
    pub(crate) md5: Option<String>,
    /// The upload in parts that ends with it, and the reservation that it takes over.
    pub(crate) ends: Option<(UploadId, ReservationId)>,
}

/// What is needed of a [`FileView`](super::FileView) that an upload answers with.
#[derive(Deserialize)]
pub(crate) struct MadeFile {
    pub(crate) sha256: String,
    pub(crate) version: i32,
}

/// Does everything that can be done before the content comes.
pub(crate) async fn begin(state: &AppState, caller: &Caller, put: Put) -> Result<Box<Upload>> {
    let declared = Declared {
        length: put.length,
        media_type: put.media_type,
        user_metadata: put.user_metadata,
        change_summary: None,
        hashes: Expected::read(&[], put.md5.as_deref())?,
    };
    let destination = if put.must_be_new {
        Destination::New(FileId::new(), put.place)
    } else {
        Destination::Put(FileId::new(), put.place, put.condition)
    };
    let key = IdempotencyKey(None);
    let identity = Identity::new("", &key, &());
    let slot = state.upload_slots.enter(caller.tenant()).await?;
    match upload::begin(state, caller, destination, declared, &identity, slot, put.ends).await? {
        Begun::Upload(upload) => Ok(upload),
        Begun::Replay(..) => Err(Error::internal("an upload without a key was answered before")),
    }
}

/// A body whose sender's pace is bounded, as at the native door.
pub(crate) fn paced(
    state: &AppState,
    body: impl Stream<Item = std::result::Result<Bytes, BoxedError>> + Send,
) -> impl Stream<Item = Result<Bytes>> + Send {
    let body = body.map(|chunk| chunk.map_err(|error| PayloadError::Io(std::io::Error::other(error))));
    Paced::new(body, state.settings.uploads.idle_timeout).map(|chunk| chunk.map_err(|error| broken(&error)))
}

/// The bytes of a content, or a part of them.
pub(crate) async fn read(state: &AppState, stored: &Stored, part: Option<Range<u64>>) -> Result<BlobBody> {
    Ok(state.contents.read(&stored.object, part).await?.body)
}

/// Gives the file of a name the content of a version that was looked at; no byte of it moves. What is said of the content goes with
/// it, unless something else `is_said`.
pub(crate) async fn copy(
    state: &AppState,
    caller: &Caller,
    source: &Stored,
    place: Place,
    is_said: Option<Said>,
) -> Result<MadeFile> {
    let answer = copy::put(state, caller, source, place, is_said).await?;
    serde_json::from_slice(&answer.body).map_err(Error::internal)
}

/// Deletes a version of a file for good; with the current one the one before it becomes that, and with the last the file goes.
pub(crate) async fn delete_version(state: &AppState, caller: &Caller, id: FileId, number: i32) -> Result<()> {
    versions::delete_any(state, caller, id, number).await
}

/// Puts a file into the trash.
pub(crate) async fn delete(state: &AppState, caller: &Caller, id: FileId) -> Result<()> {
    change::delete(state, caller, id, &IfMatch::default()).await
}

/// Refuses what is larger than any file may be.
pub(crate) fn check_size(state: &AppState, size: u64) -> Result<()> {
    upload::check_size(state, size)
}

/// Where the content of a live file is: of its current version, or of the one with this number.
pub(crate) async fn find(tenant: &impl Sql, file: FileId, version: Option<i32>) -> Result<Option<Stored>> {
    versions::store::find_stored(tenant, file, version).await
}

/// The first versions of these files: one file after the other, each's newest first.
pub(crate) async fn versions(tenant: &impl Sql, files: &[FileId], most: usize) -> Result<Vec<Version>> {
    versions::store::list_all(tenant, files, i64::try_from(most).map_err(Error::internal)?).await
}

/// The versions of a file before one of them, newest first.
pub(crate) async fn versions_before(tenant: &impl Sql, file: FileId, before: i32, most: usize) -> Result<Vec<Version>> {
    versions::store::list(tenant, file, before, i64::try_from(most).map_err(Error::internal)?).await
}

/// Refuses a file that is not there, not even in the trash.
pub(crate) async fn check_file(tenant: &impl Sql, file: FileId) -> Result<()> {
    let found = store::find_workspace(tenant, file).await?;
    found.map(|_| ()).ok_or_else(|| Error::not_found("file", file))
}

/// There is no such file, or no such version of it.
pub(crate) fn no_content(file: FileId, version: Option<i32>) -> Error {
    match version {
        None => Error::not_found("file", file),
        Some(version) => Error::not_found("version of a file", format!("{version} of {file}")),
    }
}

/// Answers with a content, as the request's conditions have it.
pub(crate) async fn send(
    state: &AppState,
    stored: Stored,
    (condition, known): (&IfMatch, &IfNoneMatch),
    delivery: Delivery,
    request: &HttpRequest,
) -> Result<HttpResponse> {
    let wish = Wish { request, condition, known, delivery, head_only: request.method() == Method::HEAD };
    download::send(state, stored, wish).await
}

/// One of the places that there are for uploads, held until it is dropped.
pub(crate) struct UploadPlace(#[expect(dead_code, reason = "held, never looked at")] Slot);

/// Takes a place for an upload.
pub(crate) async fn enter(state: &AppState, caller: &Caller) -> Result<UploadPlace> {
    state.upload_slots.enter(caller.tenant()).await.map(UploadPlace)
}

/// A request's body, its sender's pace bounded.
pub(crate) fn paced_payload(state: &AppState, payload: Payload) -> impl Stream<Item = Result<Bytes>> {
    Paced::new(payload, state.settings.uploads.idle_timeout).map(|chunk| chunk.map_err(|error| broken(&error)))
}

/// Refuses a place where no new file of this size and name could be made.
pub(crate) async fn check_place(tenant: &impl Sql, place: &Place, size: u64) -> Result<()> {
    Destination::New(FileId::new(), place.clone()).check(tenant).await?.check(size)
}

/// What a failing blob store means to a caller.
pub(crate) fn store_failure(error: BlobError) -> Error {
    blob_failure(error)
}

/// Where objects are kept, as tables have it.
pub(crate) fn bucket(state: &AppState) -> &str {
    finalize::bucket(state)
}

/// The intent of an object that is to become a part of an upload.
pub(crate) struct PartIntent(Intent);

impl PartIntent {
    /// The object.
    pub(crate) fn object(&self) -> BlobKey {
        self.0.object
    }

    /// What it is sealed under.
    pub(crate) fn content_key(&self) -> Option<Uuid> {
        self.0.content_key
    }
}

/// Says that an object may come to exist, before it does, and begins it.
pub(crate) async fn begin_part(state: &AppState, caller: &Caller) -> Result<(PartIntent, BlobWriter)> {
    // The upload has a reservation; a part has none, and to release one that never was is fine.
    let mut intent = Intent::new(caller.tenant());
    let ttl = state.settings.uploads.reservation_ttl;
    let mut tenant = caller.connection(state).await?;
    let transaction = tenant.transaction().await?;
    let key = state.contents.current_key(&transaction, caller.tenant()).await?;
    intent.content_key = key.as_ref().map(OpenKey::id);
    intents::store::insert(&transaction, &intent, bucket(state), None, ttl, caller.actor()).await?;
    transaction.commit().await?;
    let writer = intents::writer(state, caller, &intent, key.as_ref());
    Ok((PartIntent(intent), writer))
}

/// A sign of life of a part.
pub(crate) async fn extend_part(state: &AppState, caller: &Caller, part: &PartIntent) -> Result<()> {
    let tenant = caller.connection(state).await?;
    let still_stood = intents::store::extend(&tenant, part.0.id, state.settings.uploads.reservation_ttl).await?;
    if still_stood { Ok(()) } else { Err(ran_out()) }
}

/// Removes a part that is not wanted: its object is gone, or never was.
pub(crate) async fn drop_part(state: &AppState, caller: &Caller, part: &PartIntent) -> Result<()> {
    state.contents.delete(part.0.object).await.map_err(blob_failure)?;
    intents::store::delete(&caller.connection(state).await?, part.0.id).await
}

/// The object has become a part, in the transaction that records it.
pub(crate) async fn fulfil_part(transaction: &impl Sql, part: &PartIntent) -> Result<()> {
    if intents::store::fulfil(transaction, part.0.id).await? { Ok(()) } else { Err(ran_out()) }
}
