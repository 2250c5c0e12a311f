//! HTTP in and out of versions.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use rowhouse_domain::FileId;
use rowhouse_problem::Result;
use rowhouse_web::{ApiPath, ApiQuery, ApiResult, IdempotencyKey, IfMatch, Listing, PageQuery, ProblemDocument};

use super::{change, store};
use crate::authentication::{Reader, Writer};
use crate::files;
use crate::files::model::{RevisionQuery, Version};
use crate::files::views::{FileView, VersionView};
use crate::state::AppState;

/// Lists a file's versions, newest first.
#[utoipa::path(
    get,
    path = "/v1/files/{fil}/versions",
    operation_id = "list_file_versions",
    tag = "files",
    params(("fil" = String, Path), PageQuery),
    responses(
        (status = 200, description = "A page.", body = Listing<VersionView>),
        (status = 404, description = "There is no file of this id.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn list_file_versions(
    state: Data<AppState>,
    reader: Reader,
    id: ApiPath<FileId>,
    page: ApiQuery<PageQuery>,
) -> ApiResult<Json<Listing<VersionView>>> {
    let (limit, before) = (page.0.limit()?, page.0.after::<i32>()?.unwrap_or(i32::MAX));
    let tenant = reader.connection(&state).await?;
    files::store::find(&tenant, id.0).await?;
    let found = store::list(&tenant, id.0, before, limit + 1).await?;
    Ok(Json(Listing::new(found, limit, |version: &Version| version.version_number).map(VersionView::from)))
}

/// Shows a version of a file.
#[utoipa::path(
    get,
    path = "/v1/files/{fil}/versions/{version}",
    operation_id = "get_file_version",
    tag = "files",
    params(("fil" = String, Path), ("version" = i32, Path, description = "Its number.")),
    responses(
        (status = 200, description = "The version.", body = VersionView),
        (status = 404, description = "There is no such file or version.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn get_file_version(
    state: Data<AppState>,
    reader: Reader,
    id: ApiPath<FileId>,
    request: HttpRequest,
) -> ApiResult<Json<VersionView>> {
    let (file, number) = (id.0, number(&request)?);
    let tenant = reader.connection(&state).await?;
    files::store::find(&tenant, file).await?;
    Ok(Json(store::get(&tenant, file, number).await?.into()))
}

/// Makes an old version the current one again: as a new version, whose bytes are counted but not copied.
#[utoipa::path(
    post,
    path = "/v1/files/{fil}/versions/{version}/restore",
    operation_id = "restore_file_version",
    tag = "files",
    params(
        ("fil" = String, Path),
        ("version" = i32, Path, description = "Its number."),
        RevisionQuery,
        ("if-match" = Option<String>, Header, description = "The current content's entity tag, as a download gave it."),
        ("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect."),
    ),
    responses(
        (status = 200, description = "The file with its new version.", body = FileView),
        (status = 404, description = "There is no such file or version.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is the current version already.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "The file's content has changed since it was read.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "A quota has no room for it.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not valid.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn restore_file_version(
    state: Data<AppState>,
    writer: Writer,
    id: ApiPath<FileId>,
    query: ApiQuery<RevisionQuery>,
    condition: IfMatch,
    key: IdempotencyKey,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let summary = query.0.change_summary()?;
    Ok(change::restore(&state, &writer, (id.0, number(&request)?), summary, &condition, &key).await?.into())
}

/// Deletes a version for good. The current one stays.
#[utoipa::path(
    delete,
    path = "/v1/files/{fil}/versions/{version}",
    operation_id = "delete_file_version",
    tag = "files",
    params(("fil" = String, Path), ("version" = i32, Path, description = "Its number.")),
    responses(
        (status = 204, description = "It is gone, and no longer counted."),
        (status = 404, description = "There is no such file or version.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is the current version.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn delete_file_version(
    state: Data<AppState>,
    writer: Writer,
    id: ApiPath<FileId>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let (file, number) = (id.0, number(&request)?);
    change::delete(&state, &writer, file, number).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The version's number, out of the path.
fn number(request: &HttpRequest) -> Result<i32> {
    ApiPath::named(request, "version")
}
