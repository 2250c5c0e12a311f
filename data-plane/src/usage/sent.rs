//! The bytes of every answer of the native door, also those of problem documents.

use std::sync::Arc;

use actix_web::HttpMessage as _;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;

use super::tally::{Metered, Tally};

/// Counts what is sent for whom authentication has found that it is. It stands around whatever else writes bodies.
///
/// # Errors
/// Those of the inner service.
pub async fn count_sent(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let response = next.call(request).await?;
    let is_head = response.request().method() == Method::HEAD;
    // Taken out, so that nothing but the body holds it: it is written down at the latest when that is dropped.
    let tally = response.request().extensions_mut().remove::<Arc<Tally>>();
    Ok(response.map_body(|_, body| Metered::new(body, tally, is_head)))
}
