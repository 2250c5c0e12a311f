//! Routes that every service has for those who run it: health, readiness, metrics, OpenAPI, documentation.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use rowhouse_problem::{Error, Result};
use serde_json::json;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::error::ApiResult;

type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + Sync>;

/// What must answer before a service takes requests.
#[derive(Clone)]
pub struct Readiness(Check);

impl Readiness {
    /// Ready when `check` succeeds.
    pub fn new<F>(check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(check())))
    }
}

/// Adds `/healthz`, `/readyz`, `/metrics`, `/openapi.json` and `/docs`.
pub fn operational(config: &mut ServiceConfig, readiness: Readiness, api: OpenApi) {
    let document = web::Bytes::from(serde_json::to_vec(&api).expect("an OpenAPI document is plain JSON"));
    config
        .app_data(web::Data::new(readiness))
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(metrics))
        .route("/docs", web::get().to(docs))
        .route(
            "/openapi.json",
            web::get().to(move || {
                let document = document.clone();
                async move { HttpResponse::Ok().content_type(mime_json()).body(document) }
            }),
        )
        .service(SwaggerUi::new("/docs/{_:.*}").config(Config::from("/openapi.json")));
}

fn mime_json() -> &'static str {
    "application/json"
}

/// The process runs.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// The service can do its work.
async fn readyz(readiness: web::Data<Readiness>) -> ApiResult<HttpResponse> {
    (readiness.0)().await.map_err(|error| Error::unavailable(error.chain()))?;
    Ok(HttpResponse::Ok().json(json!({"status": "ready"})))
}

async fn metrics() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(rowhouse_telemetry::metrics().render())
}

async fn docs(_: HttpRequest) -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}
