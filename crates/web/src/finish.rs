//! The middleware around every request: problem documents, common headers, the log line, deadlines.

use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use rowhouse_problem::{Code, Error};
use tracing_actix_web::RequestId;

use crate::error::{ApiError, ApiResult};
use crate::observe::observe;
use crate::problem_document::{MEDIA_TYPE, ProblemDocument};
use crate::rate_limit::RATE_LIMIT_HEADERS;
use crate::span::Route;

/// What clients of tus look for in every answer.
const TUS_HEADERS: [HeaderName; 2] = [HeaderName::from_static("tus-resumable"), HeaderName::from_static("tus-version")];
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Turns every error into a problem document, adds the headers that every answer has, and logs the request once.
///
/// # Errors
/// None of its own: an error of the inner service comes out as one that answers with its problem document.
pub async fn finish(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody + 'static, BoxBody>>, actix_web::Error> {
    let begun = Instant::now();
    let request_id = request.extensions().get::<RequestId>().map_or_else(String::new, ToString::to_string);
    let method = request.method().clone();
    let route = Route::take(&request);
    // No copy of the request is kept: routing needs it to be the only one.
    let mut response = match next.call(request).await {
        Ok(response) if !needs_problem(&response) => response.map_into_left_body(),
        Ok(response) => {
            let (request, response) = response.into_parts();
            let document = problem_answer(response.error(), response.status(), response.headers(), &request_id);
            ServiceResponse::new(request, document).map_into_right_body()
        }
        Err(error) => {
            let status = error.as_response_error().status_code();
            let mut document = problem_answer(Some(&error), status, &HeaderMap::new(), &request_id);
            add_common_headers(document.headers_mut(), &request_id);
            observe(&method, route, document.status(), begun.elapsed());
            return Err(InternalError::from_response(error, document).into());
        }
    };
    add_common_headers(response.headers_mut(), &request_id);
    observe(&method, route, response.status(), begun.elapsed());
    Ok(response)
}

fn add_common_headers(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        headers.insert(header::VARY, HeaderValue::from_static("Authorization"));
    }
}

/// Errors that are not problem documents yet: ours, and those that actix makes by itself.
fn needs_problem<B>(response: &ServiceResponse<B>) -> bool {
    let status = response.status();
    (status.is_client_error() || status.is_server_error())
        && response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != MEDIA_TYPE)
}

fn problem_answer(
    error: Option<&actix_web::Error>,
    status: StatusCode,
    headers: &HeaderMap,
    request_id: &str,
) -> HttpResponse {
    let foreign;
    let problem = match error.and_then(|error| error.as_error::<ApiError>()) {
        Some(ApiError(error)) => error,
        None => {
            foreign = from_status(status, error);
            &foreign
        }
    };
    if problem.code().status() >= 500 {
        tracing::error!(code = problem.code().as_str(), error = problem.chain(), "request failed");
    } else {
        tracing::debug!(code = problem.code().as_str(), error = problem.chain(), "request refused");
    }
    let status = StatusCode::from_u16(problem.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = HttpResponse::build(status);
    answer.content_type(MEDIA_TYPE);
    if let Some(wait) = problem.retry_delay() {
        // Rounded up: who comes sooner comes in vain.
        answer.insert_header((header::RETRY_AFTER, wait.as_millis().div_ceil(1_000).max(1).to_string()));
    }
    if let Some(allow) = headers.get(header::ALLOW) {
        answer.insert_header((header::ALLOW, allow.clone()));
    }
    for name in RATE_LIMIT_HEADERS.into_iter().chain(TUS_HEADERS) {
        if let Some(value) = headers.get(&name) {
            answer.insert_header((name, value.clone()));
        }
    }
    if problem.code() == Code::RangeNotSatisfiable
        && let Some(size) = problem.extensions().get("size")
    {
        answer.insert_header((header::CONTENT_RANGE, format!("bytes */{size}")));
    }
    if status == StatusCode::UNAUTHORIZED {
        answer.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"rowhouse\""));
    }
    answer.json(ProblemDocument::new(problem, request_id.to_owned()))
}

/// What actix refuses by itself, in our words.
fn from_status(status: StatusCode, error: Option<&actix_web::Error>) -> Error {
    match status {
        StatusCode::NOT_FOUND => Error::new(Code::NoSuchRoute, "Look at /docs for what there is."),
        StatusCode::METHOD_NOT_ALLOWED => {
            Error::new(Code::MethodNotAllowed, "The `Allow` header lists the methods that are.")
        }
        StatusCode::PAYLOAD_TOO_LARGE => Error::new(Code::TooLarge, "Send less, or in parts."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Error::new(Code::UnsupportedMediaType, "Look at /docs for what is taken.")
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => {
            Error::new(Code::DeadlineExceeded, "Try again later.")
        }
        status if status.is_client_error() => Error::new(Code::MalformedRequest, "The request cannot be read."),
        _ => Error::internal(error.map_or_else(|| status.to_string(), ToString::to_string)),
    }
}

/// The answer to every address that is none of ours.
///
/// # Errors
/// Always: that there is nothing here.
pub async fn no_such_route(request: HttpRequest) -> ApiResult<HttpResponse> {
    Err(Error::new(
        Code::NoSuchRoute,
        format!("There is nothing at `{}`. Look at /docs for what there is.", request.path()),
    )
    .into())
}

/// Ends a request that has no answer after `limit`: for everything but transfers of content.
///
/// # Errors
/// `deadline_exceeded`, or what the inner service returns.
pub async fn deadline<B: MessageBody>(
    limit: Duration,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    within(limit, next.call(request)).await
}

/// The same for any work on a request.
///
/// # Errors
/// `deadline_exceeded`, or what the work returns.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, actix_web::Error>>,
) -> Result<T, actix_web::Error> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let detail = format!("The request took longer than {} s. Try again later.", limit.as_secs());
        Err(ApiError(Error::new(Code::DeadlineExceeded, detail)).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_and_what_is_said_of_limits_is_kept() {
        for (wait, said) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (2_500, "3")] {
            let error = Error::new(Code::RateLimited, "").retry_after(Duration::from_millis(wait));
            let error = actix_web::Error::from(ApiError(error));
            let mut headers = HeaderMap::new();
            for name in RATE_LIMIT_HEADERS {
                headers.insert(name, HeaderValue::from_static("7"));
            }
            let answer = problem_answer(Some(&error), StatusCode::TOO_MANY_REQUESTS, &headers, "");
            assert_eq!(answer.headers().get(header::RETRY_AFTER).unwrap(), said, "{wait} ms");
            for name in RATE_LIMIT_HEADERS {
                assert_eq!(answer.headers().get(name).unwrap(), "7");
            }
        }
    }
}
