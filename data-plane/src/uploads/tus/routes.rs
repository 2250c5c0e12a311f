//! HTTP in and out of resumable uploads.

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use rowhouse_domain::UploadId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ApiPath, ApiQuery, ApiResult, ProblemDocument};

use super::checksum::{ALGORITHMS, Checksum};
use super::create::{concatenate, create, finish, state_length, wanted};
use super::headers::{Concat, EXTENSIONS, OFFSET_TYPE, Resumable, VERSION, bytes, concatenation, tell, text};
use super::receive::{Body, receive};
use super::untold::Untold;
use crate::authentication::{Caller, Writer};
use crate::files::doors;
use crate::files::model::UploadQuery;
use crate::state::AppState;
use crate::uploads::{Protocol, Session, abandon, store};

/// Longest `Upload-Metadata`.
const MAX_METADATA_BYTES: usize = 4096;

/// Says what of tus is offered.
#[utoipa::path(
    options,
    path = "/v1/uploads",
    operation_id = "describe_uploads",
    tag = "uploads",
    responses((status = 204, description = "The headers `Tus-Version`, `Tus-Extension`, `Tus-Max-Size` and `Tus-Checksum-Algorithm` say it.")),
    security(("api_key" = ["write_files"]))
)]
pub async fn describe_uploads(state: Data<AppState>, _writer: Writer) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header(("tus-resumable", VERSION))
        .insert_header(("tus-version", VERSION))
        .insert_header(("tus-extension", EXTENSIONS))
        .insert_header(("tus-max-size", state.settings.uploads.max_bytes.to_string()))
        .insert_header(("tus-checksum-algorithm", ALGORITHMS))
        .finish()
}

/// Begins a resumable upload (tus 1.0). The query, or `Upload-Metadata` (`workspace_id`, `folder_id`, `name` or `filename`,
/// `type` or `filetype`), says what it is to become.
#[utoipa::path(
    post,
    path = "/v1/uploads",
    operation_id = "begin_upload",
    tag = "uploads",
    params(
        UploadQuery,
        ("tus-resumable" = String, Header, description = "`1.0.0`"),
        ("upload-length" = Option<i64>, Header, description = "Its length in bytes; not with `Upload-Concat: final;…`."),
        ("upload-defer-length" = Option<String>, Header, description = "`1` where a `PATCH` is to say the length."),
        ("upload-metadata" = Option<String>, Header),
        ("upload-concat" = Option<String>, Header, description = "`partial`, or `final;` and the addresses of partial uploads."),
    ),
    request_body(content = String, content_type = "application/offset+octet-stream", description = "Its beginning, or nothing."),
    responses(
        (status = 201, description = "`Location` is its address; `Upload-Offset` says how much of the body was taken in."),
        (status = 400, description = "A header can't be read, or the length is missing.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The workspace or folder does not exist.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The name is in use there, or a partial upload is not complete.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "Another version of tus is spoken.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "It is too large, or over a quota.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 460, description = "Its beginning does not have the stated checksum. As after every error, nothing was begun.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn begin_upload(
    state: Data<AppState>,
    writer: Writer,
    _version: Resumable,
    query: ApiQuery<UploadQuery>,
    request: HttpRequest,
    payload: Payload,
) -> ApiResult<HttpResponse> {
    let metadata = text(&request, "upload-metadata").unwrap_or_default();
    if metadata.len() > MAX_METADATA_BYTES {
        return Err(
            Error::invalid_field("Upload-Metadata", format!("must be at most {MAX_METADATA_BYTES} bytes")).into()
        );
    }
    let concat = Concat::read(text(&request, "upload-concat"))?;
    let length = bytes(&request, "upload-length")?;
    let session = match &concat {
        Concat::Final(pieces) => {
            let new = wanted(query.0, metadata, None, false)?;
            concatenate(&state, &writer, new, pieces).await?
        }
        Concat::None | Concat::Partial => {
            match (length, text(&request, "upload-defer-length")) {
                (Some(_), None) | (None, Some("1")) => {}
                _ => {
                    let detail = "Send `Upload-Length`, or `Upload-Defer-Length: 1` in its place.";
                    return Err(Error::new(Code::MalformedRequest, detail).into());
                }
            }
            let new = wanted(query.0, metadata, length, concat == Concat::Partial)?;
            let session = create(&state, &writer, new).await?;
            let untold = Untold::new(&state, &writer, &session);
            match take_in(&state, &writer, session, &request, payload).await {
                Ok(session) => {
                    untold.tell();
                    session
                }
                Err(error) => {
                    untold.end().await;
                    return Err(error.into());
                }
            }
        }
    };
    let mut answer = HttpResponse::Created();
    answer.insert_header((header::LOCATION, format!("/v1/uploads/{}", session.new.id)));
    tell(&mut answer, &session);
    Ok(answer.finish())
}

/// The body that a creation may have.
async fn take_in(
    state: &Data<AppState>,
    caller: &Caller,
    session: Session,
    request: &HttpRequest,
    payload: Payload,
) -> Result<Session> {
    let session = if text(request, "content-type") == Some(OFFSET_TYPE) {
        receive_body(state, caller, session, request, payload).await?
    } else {
        session
    };
    if session.is_complete() {
        finish(state, caller, &session).await?;
    }
    Ok(session)
}

async fn receive_body(
    state: &Data<AppState>,
    caller: &Caller,
    session: Session,
    request: &HttpRequest,
    payload: Payload,
) -> Result<Session> {
    let checksum = text(request, "upload-checksum").map(Checksum::read).transpose()?;
    let place = doors::enter(state, caller).await?;
    let length = bytes(request, "content-length")?.map(i64::unsigned_abs);
    let body = Body { length, checksum, chunks: doors::paced_payload(state, payload) };
    receive(state, caller, session, place, body).await
}

/// Says how an upload stands.
#[utoipa::path(
    head,
    path = "/v1/uploads/{upl}",
    operation_id = "head_upload",
    tag = "uploads",
    params(("upl" = String, Path), ("tus-resumable" = String, Header, description = "`1.0.0`")),
    responses(
        (status = 200, description = "`Upload-Offset` says how much has come, `Upload-Length` how much there is; `Upload-Defer-Length: 1` stands in its place while nobody has said it."),
        (status = 404, description = "There is none of this id, or it was forgotten."),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn head_upload(
    state: Data<AppState>,
    writer: Writer,
    _version: Resumable,
    id: ApiPath<UploadId>,
) -> ApiResult<HttpResponse> {
    let session = store::find(&writer.connection(&state).await?, id.0, Protocol::Tus).await?;
    if session.is_complete() {
        // Every byte has come, and the file could not be made then: whoever asks now is told that it is, or why not.
        finish(&state, &writer, &session).await?;
    }
    let mut answer = HttpResponse::Ok();
    tell(&mut answer, &session);
    if let Some(length) = session.new.length {
        answer.insert_header(("upload-length", length.to_string()));
    }
    if !session.new.metadata.is_empty() {
        answer.insert_header(("upload-metadata", session.new.metadata.as_str()));
    }
    if let Some(told) = concatenation(&session) {
        answer.insert_header(("upload-concat", told));
    }
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(answer.finish())
}

/// Goes on with an upload. What has come is kept, also where the body breaks off.
#[utoipa::path(
    patch,
    path = "/v1/uploads/{upl}",
    operation_id = "continue_upload",
    tag = "uploads",
    params(
        ("upl" = String, Path),
        ("tus-resumable" = String, Header, description = "`1.0.0`"),
        ("upload-offset" = i64, Header, description = "How much has come before this."),
        ("upload-length" = Option<i64>, Header, description = "The whole length, where it was left open."),
        ("upload-checksum" = Option<String>, Header, description = "`sha1` or `sha256` of this body, in base64."),
    ),
    request_body(content = String, content_type = "application/offset+octet-stream", description = "What comes next."),
    responses(
        (status = 204, description = "`Upload-Offset` says how much has come. With the last byte the file is there."),
        (status = 400, description = "A header can't be read, `Upload-Offset` is missing, the length is not as it was said before or less than has come, or the body ended early.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "It is made of partial uploads.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is none of this id, or it was forgotten.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "So much has not come, or more; or the file's name was taken meanwhile.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "It is longer than was said, or over a quota.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "The content type must be `application/offset+octet-stream`.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 460, description = "It does not have the stated checksum, and nothing of it is kept.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn continue_upload(
    state: Data<AppState>,
    writer: Writer,
    _version: Resumable,
    id: ApiPath<UploadId>,
    request: HttpRequest,
    payload: Payload,
) -> ApiResult<HttpResponse> {
    if text(&request, "content-type") != Some(OFFSET_TYPE) {
        return Err(Error::new(Code::UnsupportedMediaType, format!("Send `Content-Type: {OFFSET_TYPE}`.")).into());
    }
    let missing = || Error::new(Code::MalformedRequest, "`Upload-Offset` is missing.");
    let offset = bytes(&request, "upload-offset")?.ok_or_else(missing)?;
    let session = store::find(&writer.connection(&state).await?, id.0, Protocol::Tus).await?;
    if !session.new.pieces.is_empty() {
        return Err(Error::new(Code::FinalUpload, "Begin another one of other partial uploads.").into());
    }
    if offset != session.received {
        let detail = format!("{} bytes have come. Go on behind them.", session.received);
        return Err(Error::new(Code::OffsetMismatch, detail).with("offset", session.received).into());
    }
    let session = match bytes(&request, "upload-length")? {
        Some(length) => state_length(&state, &writer, session, length).await?,
        None => session,
    };
    let session =
        if session.made.is_none() { receive_body(&state, &writer, session, &request, payload).await? } else { session };
    if session.is_complete() {
        finish(&state, &writer, &session).await?;
    }
    let mut answer = HttpResponse::build(StatusCode::NO_CONTENT);
    tell(&mut answer, &session);
    Ok(answer.finish())
}

/// Gives an upload up. A file that it has become stays.
#[utoipa::path(
    delete,
    path = "/v1/uploads/{upl}",
    operation_id = "abandon_upload",
    tag = "uploads",
    params(("upl" = String, Path), ("tus-resumable" = String, Header, description = "`1.0.0`")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is none of this id, or it was forgotten.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn abandon_upload(
    state: Data<AppState>,
    writer: Writer,
    _version: Resumable,
    id: ApiPath<UploadId>,
) -> ApiResult<HttpResponse> {
    abandon(&state, &writer, id.0, Protocol::Tus).await?;
    Ok(HttpResponse::NoContent().insert_header(("tus-resumable", VERSION)).finish())
}
