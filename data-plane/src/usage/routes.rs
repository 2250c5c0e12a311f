//! HTTP in and out.

use actix_web::web::{Data, Json};
use rowhouse_web::{ApiResult, ProblemDocument};

use super::store;
use super::views::UsageView;
use crate::authentication::UsageReader;
use crate::state::AppState;

/// Shows what the tenant uses.
#[utoipa::path(
    get,
    path = "/v1/usage",
    operation_id = "get_usage",
    tag = "usage",
    responses(
        (status = 200, description = "The figures.", body = UsageView),
        (status = 403, description = "The key lacks `read_usage`.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_usage"]))
)]
pub async fn get_usage(state: Data<AppState>, reader: UsageReader) -> ApiResult<Json<UsageView>> {
    let platform = state.platform.get().await?;
    Ok(Json(store::find(&platform, reader.tenant()).await?))
}
