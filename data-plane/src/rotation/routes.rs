//! HTTP in and out.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use rowhouse_web::{ApiResult, IdempotencyKey, Listing, ProblemDocument};

use super::views::ContentKeyView;
use super::{rotate, store};
use crate::authentication::WorkspaceManager;
use crate::jobs::JobView;
use crate::state::AppState;

/// Makes a new key for the tenant's contents, which seals what is uploaded from now on, and has a job seal anew what there is. A
/// key that nothing is sealed under any more is forgotten a week after it had a successor.
#[utoipa::path(
    post,
    path = "/v1/content-keys",
    operation_id = "rotate_content_key",
    tag = "content keys",
    params(("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect.")),
    responses(
        (status = 202, description = "The job that goes on with it.", body = JobView),
        (status = 409, description = "Contents are not sealed here.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["manage_workspaces"]))
)]
pub async fn rotate_content_key(
    state: Data<AppState>,
    manager: WorkspaceManager,
    key: IdempotencyKey,
) -> ApiResult<HttpResponse> {
    Ok(rotate(&state, &manager, &key).await?.into())
}

/// Lists the tenant's content keys, the newest first, with how much is sealed under each.
#[utoipa::path(
    get,
    path = "/v1/content-keys",
    operation_id = "list_content_keys",
    tag = "content keys",
    responses((status = 200, description = "All of them.", body = Listing<ContentKeyView>)),
    security(("api_key" = ["manage_workspaces"]))
)]
pub async fn list_content_keys(
    state: Data<AppState>,
    manager: WorkspaceManager,
) -> ApiResult<Json<Listing<ContentKeyView>>> {
    let items = store::list(&manager.connection(&state).await?).await?;
    Ok(Json(Listing { items, next_cursor: None }))
}
