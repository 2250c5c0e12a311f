//! The root span of a request: what every log line of it carries.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::{Error, HttpMessage};
use tracing::Span;
use tracing::field::Empty;
use tracing_actix_web::{RequestId, RootSpanBuilder};

use crate::observe::label;

/// The pattern that the request's path matches, kept because finding it tries one pattern after the other.
pub(crate) struct Route(Option<String>);

impl Route {
    /// Takes it out of the request; nothing matches an address that is none of ours.
    pub(crate) fn take(request: &ServiceRequest) -> String {
        let known = request.extensions_mut().remove::<Self>();
        known.map_or_else(|| request.match_pattern(), |route| route.0).unwrap_or_else(|| "unmatched".to_owned())
    }
}

/// Names a request by id, method and route. No query, no header, no body: they may hold secrets.
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let request_id = request.extensions().get::<RequestId>().map(ToString::to_string);
        let route = request.match_pattern();
        let span = tracing::info_span!(
            "request",
            request.id = request_id,
            http.method = label(request.method()),
            http.route = route.as_deref(),
            tenant.id = Empty,
            org.id = Empty,
            key.id = Empty,
        );
        request.extensions_mut().insert(Route(route));
        span
    }

    fn on_request_end<B: MessageBody>(_: Span, _: &Result<ServiceResponse<B>, Error>) {}
}
