//! HTTP in and out of contents: the routes whose bodies are streams.

use actix_multipart::Multipart;
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures::StreamExt;
use rowhouse_domain::FileId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ApiPath, ApiQuery, ApiResult, IdempotencyKey, IfMatch, IfNoneMatch, ProblemDocument};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::destination::Destination;
use super::digest::Expected;
use super::doors::{self, Delivery};
use super::model::{Place, RevisionQuery, UploadQuery};
use super::multipart::{MAX_PREAMBLE, expect_end, find_file, malformed};
use super::pace::{Paced, broken};
use super::repetition::compare;
use super::slots::Slot;
use super::upload::{Begun, Declared, Identity, begin};
use super::views::FileView;
use super::{store, versions};
use crate::answer::Answer;
use crate::authentication::{Reader, Writer};
use crate::state::AppState;

const UPLOAD: &str = "POST /v1/files";
/// The headers that state a content's hash.
const HASHES: [&str; 3] = ["repr-digest", "content-digest", "content-md5"];
/// What a form may have around its file, beyond the largest content.
const FORM_OVERHEAD: u64 = 64 * 1024;

/// Uploads a new file: the body is the content, or a form with the file in it.
#[utoipa::path(
    post,
    path = "/v1/files",
    operation_id = "upload_file",
    tag = "files",
    params(
        UploadQuery,
        ("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect."),
        ("repr-digest" = Option<String>, Header, description = "`sha-256=:…:` of the content, which is then checked."),
        ("content-md5" = Option<String>, Header, description = "MD5 of the content, which is then checked and kept."),
    ),
    request_body(content = String, content_type = "application/octet-stream", description = "The content, of any media type; or `multipart/form-data` with the fields `workspace_id`, `folder_id` and `name` before one file."),
    responses(
        (status = 201, description = "It is stored, and searchable in a moment.", body = FileView),
        (status = 400, description = "The body ended early, or does not have the stated hash.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The workspace or folder does not exist.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The name is in use there.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "It is too large, or over a quota of the organization, tenant, account or workspace.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is missing or not valid.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 507, description = "The store is full.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn upload_file(
    state: Data<AppState>,
    writer: Writer,
    query: ApiQuery<UploadQuery>,
    key: IdempotencyKey,
    request: HttpRequest,
    payload: Payload,
) -> ApiResult<HttpResponse> {
    refuse_encoded(&request)?;
    let form = content_type(&request).is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/"));
    let slot = state.upload_slots.enter(writer.tenant()).await?;
    let answer = if form {
        upload_form(&state, &writer, query.0, &key, (&request, payload), slot).await?
    } else {
        let place = Place::parse(&query.0)?;
        let declared = declared(&request)?;
        let known = (&query.0, &declared.media_type, declared.length, declared.hashes.sha256);
        let identity = Identity::new(UPLOAD, &key, &known);
        let destination = Destination::New(FileId::new(), place);
        let begun = begin(&state, &writer, destination, declared, &identity, slot, None).await?;
        receive_raw(&state, begun, payload).await?
    };
    Ok(answer.into())
}

pub(super) async fn receive_raw(state: &AppState, begun: Begun, payload: Payload) -> Result<Answer> {
    let body = Paced::new(payload, state.settings.uploads.idle_timeout);
    let body = body.map(|chunk| chunk.map_err(|error| broken(&error)));
    match begun {
        Begun::Replay(answer, _slot) => compare(state, answer, body).await,
        Begun::Upload(mut upload) => {
            upload.receive(body).await?;
            upload.finish().await
        }
    }
}

async fn upload_form(
    state: &AppState,
    writer: &Writer,
    query: UploadQuery,
    key: &IdempotencyKey,
    (request, payload): (&HttpRequest, Payload),
    slot: Slot,
) -> Result<Answer> {
    let limit = state.settings.uploads.max_bytes;
    if content_length(request)?.is_some_and(|length| length > limit.saturating_add(FORM_OVERHEAD)) {
        return Err(Error::new(Code::TooLarge, format!("A file holds at most {limit} bytes.")).with("limit", limit));
    }
    refuse_hashes(request)?;
    let (body, gate) = Paced::gated(payload, state.settings.uploads.idle_timeout, MAX_PREAMBLE);
    let mut form = Multipart::new(request.headers(), body);
    let part = find_file(&mut form, query).await?;
    gate.open();
    let place = Place::parse(&part.query)?;
    let hashes = hashes(part.field.headers())?;
    let declared = Declared { media_type: part.media_type, hashes, ..Declared::default() };
    let identity = Identity::new(UPLOAD, key, &(&part.query, &declared.media_type, declared.hashes.sha256));
    let destination = Destination::New(FileId::new(), place);
    let content = part.field.map(|chunk| chunk.map_err(|error| malformed(&error)));
    match begin(state, writer, destination, declared, &identity, slot, None).await? {
        Begun::Replay(answer, _slot) => {
            let answer = compare(state, answer, content).await?;
            expect_end(&mut form).await?;
            Ok(answer)
        }
        Begun::Upload(mut upload) => {
            upload.receive(content).await?;
            if let Err(error) = expect_end(&mut form).await {
                upload.discard().await;
                return Err(error);
            }
            upload.finish().await
        }
    }
}

/// Uploads a new version of a file.
#[utoipa::path(
    put,
    path = "/v1/files/{fil}/content",
    operation_id = "put_file_content",
    tag = "files",
    params(
        ("fil" = String, Path),
        RevisionQuery,
        ("if-match" = Option<String>, Header, description = "The content's entity tag, as a download or an earlier version's upload gave it."),
        ("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect."),
        ("repr-digest" = Option<String>, Header, description = "`sha-256=:…:` of the content, which is then checked."),
    ),
    request_body(content = String, content_type = "application/octet-stream", description = "The content, of any media type."),
    responses(
        (status = 200, description = "The file with its new version.", body = FileView),
        (status = 404, description = "There is no file of this id.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "Its content has changed since it was read.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "It is too large, or over a quota.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "A form is not taken here.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not valid.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
#[expect(clippy::too_many_arguments, reason = "each is a part of the request")]
pub async fn put_file_content(
    state: Data<AppState>,
    writer: Writer,
    id: ApiPath<FileId>,
    query: ApiQuery<RevisionQuery>,
    condition: IfMatch,
    key: IdempotencyKey,
    request: HttpRequest,
    payload: Payload,
) -> ApiResult<HttpResponse> {
    refuse_encoded(&request)?;
    if content_type(&request).is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data")) {
        return Err(Error::new(Code::UnsupportedMediaType, "Send the content itself as the body, not a form.").into());
    }
    let declared = Declared { change_summary: query.0.change_summary()?, ..declared(&request)? };
    let route = format!("PUT /v1/files/{}/content", id.0);
    let known = (&declared.media_type, declared.length, declared.hashes.sha256, &declared.change_summary);
    let identity = Identity::new(&route, &key, &known);
    let file = {
        let tenant = writer.connection(&state).await?;
        Box::new(store::find(&tenant, id.0).await?)
    };
    let slot = state.upload_slots.enter(writer.tenant()).await?;
    let begun = begin(&state, &writer, Destination::Version(file, condition), declared, &identity, slot, None).await?;
    Ok(receive_raw(&state, begun, payload).await?.into())
}

/// Which content, and how it is to be treated.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ContentQuery {
    /// Number of the version; the current one unless said.
    version: Option<i32>,
    /// `inline` lets a browser show images, PDF and plain text; everything else is saved in any case.
    disposition: Option<WantedDisposition>,
}

/// How a browser is to treat the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WantedDisposition {
    /// Save it.
    Attachment,
    /// Show it, where that is safe.
    Inline,
}

/// Downloads a file's content.
#[utoipa::path(
    get,
    path = "/v1/files/{fil}/content",
    operation_id = "get_file_content",
    tag = "files",
    params(
        ("fil" = String, Path),
        ContentQuery,
        ("range" = Option<String>, Header, description = "`bytes=…`; more than 32 ranges are answered with the whole."),
        ("if-range" = Option<String>, Header),
        ("want-repr-digest" = Option<String>, Header, description = "`sha-256=0` leaves `Repr-Digest` out."),
        ("if-match" = Option<String>, Header),
        ("if-none-match" = Option<String>, Header),
        ("if-modified-since" = Option<String>, Header),
        ("if-unmodified-since" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "The content. Its `ETag` is its SHA-256.", body = String, content_type = "application/octet-stream"),
        (status = 307, description = "The content is to be read from the bucket, where `blobs.redirect_downloads` says so."),
        (status = 206, description = "The wanted part; several as `multipart/byteranges`.", body = String, content_type = "application/octet-stream"),
        (status = 304, description = "It is as the caller has it."),
        (status = 404, description = "There is no such file or version.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "It is not the content that the caller named.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 416, description = "The range lies outside the content.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn get_file_content(
    state: Data<AppState>,
    reader: Reader,
    id: ApiPath<FileId>,
    query: ApiQuery<ContentQuery>,
    condition: IfMatch,
    known: IfNoneMatch,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let stored = {
        let tenant = reader.connection(&state).await?;
        versions::store::find_stored(&tenant, id.0, query.0.version).await?
    };
    let stored = stored.ok_or_else(|| doors::no_content(id.0, query.0.version))?;
    let delivery = match query.0.disposition {
        Some(WantedDisposition::Inline) => Delivery::Inline,
        Some(WantedDisposition::Attachment) | None => Delivery::MayBeRedirected,
    };
    Ok(doors::send(&state, stored, (&condition, &known), delivery, &request).await?)
}

/// Says what a download would answer, without the content.
#[utoipa::path(
    head,
    path = "/v1/files/{fil}/content",
    operation_id = "head_file_content",
    tag = "files",
    params(("fil" = String, Path), ContentQuery),
    responses(
        (status = 200, description = "Headers as of the download."),
        (status = 304, description = "It is as the caller has it."),
        (status = 404, description = "There is no such file or version."),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn head_file_content(
    state: Data<AppState>,
    reader: Reader,
    id: ApiPath<FileId>,
    query: ApiQuery<ContentQuery>,
    condition: IfMatch,
    known: IfNoneMatch,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    get_file_content(state, reader, id, query, condition, known, request).await
}

fn content_type(request: &HttpRequest) -> Option<&str> {
    request.headers().get(header::CONTENT_TYPE)?.to_str().ok()
}

fn content_length(request: &HttpRequest) -> Result<Option<u64>> {
    let Some(value) = request.headers().get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| Error::new(Code::MalformedRequest, "`Content-Length` is no number."))
}

/// What the headers say of a body that is the content itself.
pub(super) fn declared(request: &HttpRequest) -> Result<Declared> {
    Ok(Declared {
        length: content_length(request)?,
        media_type: content_type(request).map(str::to_owned),
        user_metadata: None,
        change_summary: None,
        hashes: hashes(request.headers())?,
    })
}

/// What headers say that the content hashes to.
fn hashes(headers: &header::HeaderMap) -> Result<Expected> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Expected::read(&[text("repr-digest"), text("content-digest")], text("content-md5"))
}

/// Of a form they would be the whole form's hashes, which nobody checks: its sender is not to believe that somebody does.
fn refuse_hashes(request: &HttpRequest) -> Result<()> {
    let stated = HASHES.iter().find(|name| request.headers().contains_key(**name));
    stated.map_or(Ok(()), |name| {
        let detail =
            format!("`{name}` of a whole form is not checked. State it of the file, in the headers of its part.");
        Err(Error::new(Code::MalformedRequest, detail))
    })
}

/// What would be stored is the compressed form, which nobody wants back.
pub(super) fn refuse_encoded(request: &HttpRequest) -> Result<()> {
    let encoding = request.headers().get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    match encoding {
        None => Ok(()),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Ok(()),
        Some(_) => {
            let detail = "Send the content as it is: `Content-Encoding` is not taken here.";
            Err(Error::new(Code::UnsupportedMediaType, detail))
        }
    }
}
