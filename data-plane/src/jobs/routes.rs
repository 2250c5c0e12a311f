//! HTTP in and out.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use rowhouse_domain::JobId;
use rowhouse_web::{ApiPath, ApiQuery, ApiResult, Listing, ProblemDocument};

use super::model::ListJobs;
use super::views::JobView;
use super::{cancel, store};
use crate::authentication::{Reader, Writer};
use crate::state::AppState;

/// Lists long jobs, the newest first: those that go on, and for a week those that have ended.
#[utoipa::path(
    get,
    path = "/v1/jobs",
    operation_id = "list_jobs",
    tag = "jobs",
    params(ListJobs),
    responses(
        (status = 200, description = "A page.", body = Listing<JobView>),
        (status = 400, description = "The state or the cursor can't be read.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "The limit is not valid.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn list_jobs(
    state: Data<AppState>,
    reader: Reader,
    query: ApiQuery<ListJobs>,
) -> ApiResult<Json<Listing<JobView>>> {
    let (limit, after) = query.0.page()?;
    let tenant = reader.connection(&state).await?;
    let found = store::list(&tenant, query.0.state, after, limit + 1).await?;
    Ok(Json(Listing::new(found, limit, |job: &JobView| (job.created_at, job.id))))
}

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

/// Cancels a copy that is being made: its job removes what it has made of it, and ends as `cancelled`.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job}/cancel",
    operation_id = "cancel_job",
    tag = "jobs",
    params(("job" = String, Path)),
    responses(
        (status = 202, description = "The job, which goes on until nothing of the copy is left.", body = JobView),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It makes no copy, or has ended.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn cancel_job(state: Data<AppState>, writer: Writer, id: ApiPath<JobId>) -> ApiResult<HttpResponse> {
    Ok(cancel::cancel(&state, &writer, id.0).await?.into())
}
