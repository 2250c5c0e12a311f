//! What links open: the routes that take no key.

use std::future::{Ready, ready};

use actix_web::dev;
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse};
use rowhouse_domain::LinkId;
use rowhouse_problem::{Error, Result};
use rowhouse_web::{ApiError, ApiResult, IdempotencyKey, IfMatch, IfNoneMatch, ProblemDocument};

use super::model::Grant;
use super::store;
use super::terms::{Terms, invalid, revoked};
use crate::authentication::Caller;
use crate::files::FileView;
use crate::files::doors::{self, Delivery, Incoming};
use crate::media::MediaType;
use crate::state::AppState;

/// A link that is as it was signed, with the key that made it as the caller.
#[derive(Debug, Clone)]
pub struct Holder {
    caller: Caller,
    terms: Terms,
}

impl Holder {
    pub(crate) fn new(caller: Caller, terms: Terms) -> Self {
        Self { caller, terms }
    }
}

impl FromRequest for Holder {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let holder = request.extensions().get::<Self>().cloned();
        ready(holder.ok_or_else(|| Error::internal("a link's route without its guard").into()))
    }
}

/// Downloads what a link leads to. No key is needed.
#[utoipa::path(
    get,
    path = "/v1/links/{lnk}/content",
    operation_id = "get_link_content",
    tag = "links",
    params(
        ("lnk" = String, Path, description = "With the rest of the address as it was given."),
        ("range" = Option<String>, Header, description = "`bytes=…`, up to 32 ranges; more are answered with the whole."),
        ("if-none-match" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "The content.", body = String, content_type = "application/octet-stream"),
        (status = 206, description = "The wanted part.", body = String, content_type = "application/octet-stream"),
        (status = 304, description = "It is as the caller has it."),
        (status = 403, description = "The link was changed, has expired or was taken back.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The file is gone.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(())
)]
pub async fn get_link_content(
    state: Data<AppState>,
    holder: Holder,
    condition: IfMatch,
    known: IfNoneMatch,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let Grant::Download { file, version, inline } = holder.terms.grant else { return Err(invalid().into()) };
    let stored = {
        let tenant = holder.caller.connection(&state).await?;
        check(&tenant, holder.terms.id).await?;
        doors::find(&tenant, file, version).await?
    };
    let stored = stored.ok_or_else(|| doors::no_content(file, version))?;
    // Never from the bucket: its address would be good for longer than the link is.
    let delivery = if inline { Delivery::Inline } else { Delivery::Attachment };
    let mut answer = doors::send(&state, stored, (&condition, &known), delivery, &request).await?;
    // The address is the right to it: it must not travel on in a `Referer`.
    answer.headers_mut().insert(header::REFERRER_POLICY, header::HeaderValue::from_static("no-referrer"));
    Ok(answer)
}

/// Says what a download would answer, without the content.
#[utoipa::path(
    head,
    path = "/v1/links/{lnk}/content",
    operation_id = "head_link_content",
    tag = "links",
    params(("lnk" = String, Path, description = "With the rest of the address as it was given.")),
    responses(
        (status = 200, description = "Headers as of the download."),
        (status = 403, description = "The link was changed, has expired or was taken back."),
        (status = 404, description = "The file is gone."),
    ),
    security(())
)]
pub async fn head_link_content(
    state: Data<AppState>,
    holder: Holder,
    condition: IfMatch,
    known: IfNoneMatch,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    get_link_content(state, holder, condition, known, request).await
}

/// Uploads the file that a link is for, once; sent again, it is answered as before. No key is needed.
#[utoipa::path(
    put,
    path = "/v1/links/{lnk}/content",
    operation_id = "put_link_content",
    tag = "links",
    params(("lnk" = String, Path, description = "With the rest of the address as it was given.")),
    request_body(content = String, content_type = "application/octet-stream", description = "The content, of the link's size and media type."),
    responses(
        (status = 201, description = "It is stored.", body = FileView),
        (status = 400, description = "The body ended early.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The link was changed, has expired or was taken back.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The name is in use there.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "It is over a quota.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "It is not of the size or the media type that the link is for, or the link was used for another content.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(())
)]
pub async fn put_link_content(
    state: Data<AppState>,
    holder: Holder,
    request: HttpRequest,
    payload: Payload,
) -> ApiResult<HttpResponse> {
    let until = holder.terms.expires_at;
    let Grant::Upload { place, size, media_type } = holder.terms.grant else { return Err(invalid().into()) };
    check_headers(&request, size, media_type.as_deref())?;
    check(&holder.caller.connection(&state).await?, holder.terms.id).await?;
    // The link stands for one upload, as an `Idempotency-Key` does: for as long as it opens anything.
    let key = IdempotencyKey(Some(holder.terms.id.to_string()));
    let incoming = Incoming { route: "PUT /v1/links", key: &key, until, place, length: Some(size), media_type };
    Ok(doors::upload(&state, &holder.caller, incoming, &request, payload).await?.into())
}

async fn check(tenant: &impl rowhouse_database::Sql, id: LinkId) -> Result<()> {
    if store::opens(tenant, id).await? { Ok(()) } else { Err(revoked()) }
}

/// Compares what the headers say with what the link is for; the body itself is counted as it comes.
fn check_headers(request: &HttpRequest, size: u64, media_type: Option<&str>) -> Result<()> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(length) = text(header::CONTENT_LENGTH)
        && length.parse() != Ok(size)
    {
        return Err(Error::invalid_field("Content-Length", format!("must be {size}: the link is for that size")));
    }
    let sent = text(header::CONTENT_TYPE).and_then(MediaType::parse);
    match media_type {
        Some(wanted) if sent.as_ref().map(MediaType::as_str) != Some(wanted) => {
            Err(Error::invalid_field("Content-Type", format!("must be `{wanted}`: the link is for that type")))
        }
        Some(_) | None => Ok(()),
    }
}
