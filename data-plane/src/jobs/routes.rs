//! HTTP in and out.

use actix_web::web::{Data, Json};
use rowhouse_domain::JobId;
use rowhouse_web::{ApiPath, ApiResult, ProblemDocument};

use super::store;
use super::views::JobView;
use crate::authentication::Reader;
use crate::state::AppState;

/// Shows a long job: how far it has come, and how it ended. It is kept for a week after that.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}",
    operation_id = "get_job",
    tag = "jobs",
    params(("job" = String, Path)),
    responses(
        (status = 200, description = "The job.", body = JobView),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn get_job(state: Data<AppState>, reader: Reader, id: ApiPath<JobId>) -> ApiResult<Json<JobView>> {
    Ok(Json(store::find(&reader.connection(&state).await?, id.0).await?))
}
