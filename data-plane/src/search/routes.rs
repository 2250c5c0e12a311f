//! HTTP in and out.

use actix_web::web::{Data, Json};
use rowhouse_web::{ApiQuery, ApiResult, ProblemDocument};

use super::find::find;
use super::model::{Search, SearchQuery};
use super::views::SearchAnswer;
use crate::authentication::Reader;
use crate::state::AppState;

/// Searches the tenant's files, folders and workspaces.
#[utoipa::path(
    get,
    path = "/v1/search",
    operation_id = "search_items",
    tag = "search",
    params(SearchQuery),
    responses(
        (status = 200, description = "What was found, best first; an empty list where nothing fits.", body = SearchAnswer),
        (status = 400, description = "`workspace_id` is no id.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing or not valid.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks `read_files`, or the tenant is suspended.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is missing, unknown or not valid.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn search_items(
    state: Data<AppState>,
    reader: Reader,
    query: ApiQuery<SearchQuery>,
) -> ApiResult<Json<SearchAnswer>> {
    let search = Search::parse(&query.0)?;
    let connection = reader.connection(&state).await?;
    let hits = find(&connection, &search).await?;
    Ok(Json(SearchAnswer { items: hits.into_iter().map(Into::into).collect() }))
}
