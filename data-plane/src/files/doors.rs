//! Contents in and out for those who come by another door than `/v1/files`: what they may use of this resource.
//!
//! The same functions as for the native door do the work, so that what comes in by one is seen by all.

use actix_web::http::Method;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use rowhouse_database::Sql;
use rowhouse_domain::FileId;
use rowhouse_problem::{Error, Result};
use rowhouse_web::{ETag, IdempotencyKey, IfMatch, IfNoneMatch};

use super::content::{declared, receive_raw, refuse_encoded};
use super::destination::Destination;
use super::download::{self, Wish};
use super::model::Place;
use super::upload::{Declared, Identity, begin};
use super::versions::{self, Stored};
use super::{store, upload};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::state::AppState;

/// A new file that comes in.
pub(crate) struct Incoming<'a> {
    /// What tells a repetition: the route, and the key under it.
    pub(crate) route: &'a str,
    pub(crate) key: &'a IdempotencyKey,
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
        hashes: stated.hashes,
    };
    let identity = Identity::new(incoming.route, incoming.key, &declared.length);
    let slot = state.upload_slots.enter(caller.tenant()).await?;
    let destination = Destination::New(FileId::new(), incoming.place);
    let begun = begin(state, caller, destination, declared, &identity, slot).await?;
    receive_raw(state, begun, payload).await
}

/// Refuses what is larger than any file may be.
pub(crate) fn check_size(state: &AppState, size: u64) -> Result<()> {
    upload::check_size(state, size)
}

/// Where the content of a live file is: of its current version, or of the one with this number.
pub(crate) async fn find(tenant: &impl Sql, file: FileId, version: Option<i32>) -> Result<Option<Stored>> {
    versions::store::find_stored(tenant, file, version).await
}

/// Refuses a file that is not there.
pub(crate) async fn check_file(tenant: &impl Sql, file: FileId) -> Result<()> {
    store::find(tenant, file).await.map(|_| ())
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
    inline: bool,
    request: &HttpRequest,
) -> Result<HttpResponse> {
    condition.check(&ETag::of_content(&stored.sha256))?;
    let wish = Wish { request, known, inline, head_only: request.method() == Method::HEAD };
    download::send(state, stored, wish).await
}
