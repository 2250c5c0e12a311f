//! Routes that every service has for those who run it: health, readiness, OpenAPI, documentation; and metrics, where they belong.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use rowhouse_problem::{Error, Result};
use serde_json::json;
use tokio::sync::Mutex;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::error::ApiResult;

type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + Sync>;

/// How long an answer to "are you ready?" holds: whoever asks more often learns nothing and costs nothing.
const FRESH: Duration = Duration::from_secs(1);

/// What must answer before a service takes requests.
#[derive(Clone)]
pub struct Readiness {
    check: Check,
    /// When it was last asked and whether it was ready; the lock makes those who ask meanwhile wait for one answer.
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Readiness {
    /// Ready when `check` succeeds.
    pub fn new<F>(check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self { check: Arc::new(move || Box::pin(check())), last: Arc::default() }
    }

    async fn ask(&self) -> Result<()> {
        let mut last = self.last.lock().await;
        match *last {
            Some((asked, true)) if asked.elapsed() < FRESH => return Ok(()),
            Some((asked, false)) if asked.elapsed() < FRESH => {
                return Err(Error::unavailable("it was not ready a moment ago"));
            }
            Some(_) | None => {}
        }
        let answer = (self.check)().await;
        *last = Some((Instant::now(), answer.is_ok()));
        answer.map_err(|error| Error::unavailable(error.chain()))
    }
}

/// Adds `/healthz`, `/readyz`, `/openapi.json` and `/docs`.
pub fn operational(config: &mut ServiceConfig, readiness: Readiness, api: OpenApi) {
    let document = web::Bytes::from(serde_json::to_vec(&api).expect("an OpenAPI document is plain JSON"));
    config
        .app_data(web::Data::new(readiness))
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
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
    readiness.ask().await?;
    Ok(HttpResponse::Ok().json(json!({"status": "ready"})))
}

/// The process's metrics, for Prometheus. They name tenants and tell how busy each is: nothing for a port that anyone reaches.
pub async fn metrics() -> HttpResponse {
    let text = rowhouse_telemetry::metrics().render();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}

async fn docs(_: HttpRequest) -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}
