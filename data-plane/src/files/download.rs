//! A content on its way out: the whole, a part, or only the news that it is as the caller has it.

use actix_web::body::SizedStream;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ETag, IfMatch, IfNoneMatch};

use super::byteranges::Byteranges;
use super::digest;
use super::disposition::{Disposition, content_disposition};
use super::range::{Wanted, wanted};
use super::versions::Stored;
use crate::contents::blob_failure;
use crate::media::MediaType;
use crate::state::AppState;

/// Nothing in a file may run, load or frame anything, whatever a browser takes it for.
pub(crate) const POLICY: &str = "sandbox; default-src 'none'";
/// Kept by the caller's own cache only, and asked about each time.
const CACHING: &str = "private, no-cache";

/// What the caller asks for, beside the file.
pub(super) struct Wish<'a> {
    pub(super) request: &'a HttpRequest,
    pub(super) condition: &'a IfMatch,
    pub(super) known: &'a IfNoneMatch,
    pub(super) delivery: Delivery,
    pub(super) head_only: bool,
}

/// How a content is to reach the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// From us, to be shown.
    Inline,
    /// From us, to be saved.
    Attachment,
    /// To be saved; from the bucket itself where the settings want that, by an address that nobody can take back.
    MayBeRedirected,
}

/// Answers with a stored content. No connection to PostgreSQL is held while it streams.
pub(super) async fn send(state: &AppState, stored: Stored, wish: Wish<'_>) -> Result<HttpResponse> {
    let etag = ETag::of_content(&stored.sha256);
    check_condition(&stored, &etag, &wish)?;
    if is_known(&stored, &etag, &wish) {
        let mut answer = HttpResponse::build(StatusCode::NOT_MODIFIED);
        describe(&mut answer, &stored, &etag);
        return Ok(answer.finish());
    }
    if wish.delivery == Delivery::MayBeRedirected
        && !wish.head_only
        && let Some(address) = state.contents.address(&stored.object).await.map_err(blob_failure)?
    {
        let mut answer = HttpResponse::TemporaryRedirect();
        return Ok(answer
            .insert_header((header::LOCATION, address))
            .insert_header((header::CACHE_CONTROL, "private, no-store"))
            .finish());
    }
    let size = stored.object.size;
    let (part, several) = match wanted(applicable_range(&stored, &etag, &wish), size) {
        Wanted::All => (None, None),
        Wanted::Part(range) => (Some(range), None),
        Wanted::Parts(parts) => (None, Some(Byteranges::new(parts, size, &stored.mime_type))),
        Wanted::Unsatisfiable => {
            let detail = format!("The content has {size} bytes.");
            return Err(Error::new(Code::RangeNotSatisfiable, detail).with("size", size));
        }
    };
    let is_partial = part.is_some() || several.is_some();
    let mut answer = HttpResponse::build(if is_partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK });
    describe(&mut answer, &stored, &etag);
    if let Some(range) = &part {
        answer.insert_header((header::CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.end - 1)));
    }
    let is_shown = wish.delivery == Delivery::Inline;
    let disposition = if is_shown && MediaType::parse(&stored.mime_type).is_some_and(|kind| kind.may_be_shown()) {
        Disposition::Inline
    } else {
        Disposition::Attachment
    };
    let media_type = several.as_ref().map_or_else(|| stored.mime_type.clone(), Byteranges::content_type);
    answer
        .insert_header((header::CONTENT_TYPE, media_type))
        .insert_header((header::CONTENT_DISPOSITION, content_disposition(disposition, stored.name.as_str())))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY));
    if digest::is_wanted(text(wish.request, "want-repr-digest")) {
        answer.insert_header(("repr-digest", digest::header_value(&stored.sha256)));
        if !is_partial {
            // Nothing is encoded on its way: what is sent is the content itself.
            answer.insert_header(("content-digest", digest::header_value(&stored.sha256)));
        }
    }
    let range = part.clone().unwrap_or(0..size);
    let length = several.as_ref().map_or(range.end - range.start, Byteranges::length);
    if wish.head_only || length == 0 {
        return Ok(answer.body(SizedStream::new(length, stream::empty::<Result<_, std::io::Error>>())));
    }
    // An error ends the connection before the announced length: never a short answer that looks whole.
    if let Some(several) = several {
        return Ok(answer.body(SizedStream::new(length, several.body(&state.contents, &stored.object).await?)));
    }
    let read = state.contents.read(&stored.object, part).await?;
    Ok(answer.body(SizedStream::new(length, read.body.map(|chunk| chunk.map_err(std::io::Error::other)))))
}

fn text<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// What holds of the content as such, also where it is not sent.
fn describe(answer: &mut HttpResponseBuilder, stored: &Stored, etag: &ETag) {
    answer
        .insert_header((header::ETAG, etag.as_str()))
        .insert_header((header::LAST_MODIFIED, http_date(stored.created_at)))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CACHE_CONTROL, CACHING))
        .insert_header((header::VARY, "Authorization"));
}

/// `If-Match`, or `If-Unmodified-Since` where the former was not sent (RFC 9110 §13.2.2).
fn check_condition(stored: &Stored, etag: &ETag, wish: &Wish<'_>) -> Result<()> {
    if wish.condition.is_present() {
        return wish.condition.check(etag);
    }
    let since = text(wish.request, "if-unmodified-since").and_then(|text| httpdate::parse_http_date(text).ok());
    match since {
        Some(since) if modified(stored) > since => {
            let detail = format!("It was modified on {}.", http_date(stored.created_at));
            Err(Error::new(Code::PreconditionFailed, detail))
        }
        _ => Ok(()),
    }
}

/// `If-None-Match`, or `If-Modified-Since` where the former was not sent (RFC 9110 §13.2.2).
fn is_known(stored: &Stored, etag: &ETag, wish: &Wish<'_>) -> bool {
    if wish.known.is_present() {
        return wish.known.matches(etag);
    }
    let since = text(wish.request, "if-modified-since");
    since.and_then(|text| httpdate::parse_http_date(text).ok()).is_some_and(|since| modified(stored) <= since)
}

/// The `Range` header of a `GET` (RFC 9110 §14.2), unless `If-Range` says that it was meant for another content (§13.1.5).
fn applicable_range<'a>(stored: &Stored, etag: &ETag, wish: &Wish<'a>) -> Option<&'a str> {
    let range = text(wish.request, "range").filter(|_| !wish.head_only)?;
    let Some(condition) = text(wish.request, "if-range") else { return Some(range) };
    let holds = if condition.starts_with(['"', 'W']) {
        condition == etag.as_str()
    } else {
        httpdate::parse_http_date(condition).is_ok_and(|date| date == modified(stored))
    };
    holds.then_some(range)
}

/// To the second, as HTTP dates go.
fn modified(stored: &Stored) -> std::time::SystemTime {
    let seconds = u64::try_from(stored.created_at.as_second()).unwrap_or(0);
    std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
}

fn http_date(time: Timestamp) -> String {
    let seconds = u64::try_from(time.as_second()).unwrap_or(0);
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
}
