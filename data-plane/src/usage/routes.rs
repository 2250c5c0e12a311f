//! HTTP in and out.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;
use rowhouse_web::{ApiQuery, ApiResult, ProblemDocument, UsageBucket, UsageQuery};

use super::model::Period;
use super::store;
use super::views::UsageView;
use crate::authentication::UsageReader;
use crate::state::AppState;

/// Shows what the tenant uses, and with `bucket` what it used over time.
#[utoipa::path(
    get,
    path = "/v1/usage",
    operation_id = "get_usage",
    tag = "usage",
    params(UsageQuery),
    responses(
        (status = 200, description = "The figures; as a table, the buckets alone.", content((UsageView = "application/json"), (String = "text/csv"))),
        (status = 403, description = "The key lacks `read_usage`.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not valid, or the period has more than 1,000 buckets.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_usage"]))
)]
pub async fn get_usage(
    state: Data<AppState>,
    reader: UsageReader,
    request: HttpRequest,
    query: ApiQuery<UsageQuery>,
) -> ApiResult<HttpResponse> {
    let wants_table = query.0.wants_table(&request);
    let period = Period::asked_for(&query.0, Timestamp::now(), wants_table)?;
    let platform = state.platform.get().await?;
    let buckets = match &period {
        Some(period) => Some(store::buckets(&platform, reader.tenant(), period).await?),
        None => None,
    };
    if let Some(buckets) = buckets.as_ref().filter(|_| wants_table) {
        return Ok(HttpResponse::Ok().content_type("text/csv; charset=utf-8").body(UsageBucket::csv(buckets)?));
    }
    let figures = store::find(&platform, reader.tenant()).await?;
    Ok(HttpResponse::Ok().json(UsageView { buckets, ..figures }))
}
