//! HTTP in and out of files' metadata; their contents have [routes of their own](super::content).

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use rowhouse_domain::FileId;
use rowhouse_web::{
    ApiJson, ApiPath, ApiQuery, ApiResult, IdempotencyKey, IfMatch, IfNoneMatch, Listing, ProblemDocument,
};

use super::batch::model::Batch;
use super::batch::{self, BatchView};
use super::model::{ChangeFile, CopyFile, ListFiles};
use super::views::{FileView, etag};
use super::{change, copy, lists, purge, store};
use crate::authentication::{Reader, Writer};
use crate::serial::DeleteQuery;
use crate::state::AppState;

/// Lists files.
#[utoipa::path(
    get,
    path = "/v1/files",
    operation_id = "list_files",
    tag = "files",
    params(ListFiles),
    responses(
        (status = 200, description = "A page.", body = Listing<FileView>),
        (status = 400, description = "An id or the cursor can't be read.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not valid.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn list_files(
    state: Data<AppState>,
    reader: Reader,
    query: ApiQuery<ListFiles>,
) -> ApiResult<Json<Listing<FileView>>> {
    let page = lists::page(&reader.connection(&state).await?, &query.0).await?;
    Ok(Json(page.map(FileView::from)))
}

/// Shows a file.
#[utoipa::path(
    get,
    path = "/v1/files/{fil}",
    operation_id = "get_file",
    tag = "files",
    params(("fil" = String, Path)),
    responses(
        (status = 200, description = "The file.", body = FileView),
        (status = 304, description = "It is as the caller has it."),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn get_file(
    state: Data<AppState>,
    reader: Reader,
    id: ApiPath<FileId>,
    known: IfNoneMatch,
) -> ApiResult<HttpResponse> {
    let file = store::find(&reader.connection(&state).await?, id.0).await?;
    let etag = etag(&file);
    if known.matches(&etag) {
        return Ok(HttpResponse::NotModified().insert_header(("etag", etag.as_str())).finish());
    }
    Ok(HttpResponse::Ok().insert_header(("etag", etag.as_str())).json(FileView::from(file)))
}

/// Changes what the body names.
#[utoipa::path(
    patch,
    path = "/v1/files/{fil}",
    operation_id = "change_file",
    tag = "files",
    params(("fil" = String, Path), ("if-match" = Option<String>, Header)),
    request_body = ChangeFile,
    responses(
        (status = 200, description = "The file as it is now.", body = FileView),
        (status = 404, description = "There is none of this id, or not where it is to go.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The name is in use there.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "It has changed since it was read.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "The workspace that it is to go to has no room for it.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is not valid.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn change_file(
    state: Data<AppState>,
    writer: Writer,
    id: ApiPath<FileId>,
    condition: IfMatch,
    body: ApiJson<ChangeFile>,
) -> ApiResult<HttpResponse> {
    Ok(change::change(&state, &writer, id.0, &condition, body.0).await?.into())
}

/// Deletes a file; it can be restored until it is purged.
#[utoipa::path(
    delete,
    path = "/v1/files/{fil}",
    operation_id = "delete_file",
    tag = "files",
    params(("fil" = String, Path), DeleteQuery, ("if-match" = Option<String>, Header)),
    responses(
        (status = 204, description = "It is deleted; or, with `purge`, gone for good."),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is to be purged and is not deleted.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "It has changed since it was read.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn delete_file(
    state: Data<AppState>,
    writer: Writer,
    id: ApiPath<FileId>,
    query: ApiQuery<DeleteQuery>,
    condition: IfMatch,
) -> ApiResult<HttpResponse> {
    if query.0.purge {
        purge::purge_now(&state, &writer, id.0, &condition).await?;
    } else {
        change::delete(&state, &writer, id.0, &condition).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Copies a file with its tags and metadata, or one of its versions. The copy's bytes are counted, but stored once.
#[utoipa::path(
    post,
    path = "/v1/files/{fil}/copy",
    operation_id = "copy_file",
    tag = "files",
    params(
        ("fil" = String, Path),
        ("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect."),
    ),
    request_body = CopyFile,
    responses(
        (status = 201, description = "The copy.", body = FileView),
        (status = 404, description = "There is no such file or version, or not where the copy is to go.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The name is in use there.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "A quota has no room for it.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is not valid.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn copy_file(
    state: Data<AppState>,
    writer: Writer,
    id: ApiPath<FileId>,
    key: IdempotencyKey,
    body: ApiJson<CopyFile>,
) -> ApiResult<HttpResponse> {
    Ok(copy::copy(&state, &writer, id.0, &key, &body.0).await?.into())
}

/// Restores a deleted file: to its folder, or to the top of its workspace where the folder is gone.
#[utoipa::path(
    post,
    path = "/v1/files/{fil}/restore",
    operation_id = "restore_file",
    tag = "files",
    params(
        ("fil" = String, Path),
        ("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect."),
    ),
    responses(
        (status = 200, description = "The file as it is now.", body = FileView),
        (status = 404, description = "There is none of this id, or its workspace is gone.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is not deleted, or its name is in use again.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn restore_file(
    state: Data<AppState>,
    writer: Writer,
    id: ApiPath<FileId>,
    key: IdempotencyKey,
) -> ApiResult<HttpResponse> {
    Ok(change::restore(&state, &writer, id.0, &key).await?.into())
}

/// Changes, copies, deletes and restores up to 1,000 files at once: all or nothing, or each alone.
#[utoipa::path(
    post,
    path = "/v1/files/batch",
    operation_id = "batch_files",
    tag = "files",
    params(("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect.")),
    request_body = Batch,
    responses(
        (status = 200, description = "How each item ended.", body = BatchView),
        (status = 409, description = "An item can't be done, and nothing was; `items` says which and why.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "A quota has no room for the copies, or the body is larger than 1 MiB.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is not valid, there are too many items, or two change the same file.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn batch_files(
    state: Data<AppState>,
    writer: Writer,
    key: IdempotencyKey,
    body: ApiJson<Batch>,
) -> ApiResult<HttpResponse> {
    Ok(batch::batch(&state, &writer, &key, body.0).await?.into())
}
