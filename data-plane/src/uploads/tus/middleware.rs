//! What tus asks of every request and every answer, also of those that are refused.

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;

use super::headers::VERSION;

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const VERSIONS: HeaderName = HeaderName::from_static("tus-version");
const OVERRIDE: &str = "x-http-method-override";

/// Says which version of tus is spoken in every answer of a route, and where another was asked for (412) which there are.
///
/// # Errors
/// None: an error of the inner service becomes an answer here, so that it has the headers.
pub async fn speak_tus(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody + 'static, BoxBody>>, actix_web::Error> {
    // The route is found by now, so a copy of the request is in nobody's way.
    let copy = request.request().clone();
    let mut answer = match next.call(request).await {
        Ok(answer) => answer.map_into_left_body(),
        Err(error) => ServiceResponse::from_err(error, copy).map_into_right_body(),
    };
    let version = HeaderValue::from_static(VERSION);
    if answer.status() == StatusCode::PRECONDITION_FAILED {
        answer.headers_mut().insert(VERSIONS, version.clone());
    }
    answer.headers_mut().insert(RESUMABLE, version);
    Ok(answer)
}

/// Takes a `POST` to an upload for the `PATCH` or `DELETE` that `X-HTTP-Method-Override` says that it is, as tus has it for clients
/// that can send neither. Before routing; every other address means its method.
///
/// # Errors
/// Those of the inner service.
pub async fn override_method<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    if request.method() == Method::POST && request.path().starts_with("/v1/uploads/") {
        let stated = request.headers().get(OVERRIDE).and_then(|value| Method::from_bytes(value.as_bytes()).ok());
        if let Some(method @ (Method::PATCH | Method::DELETE)) = stated {
            request.head_mut().method = method;
        }
    }
    next.call(request).await
}
