//! HTTP in and out.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use rowhouse_domain::FolderId;
use rowhouse_web::{
    ApiJson, ApiPath, ApiQuery, ApiResult, IdempotencyKey, IfMatch, IfNoneMatch, Listing, ProblemDocument,
};

use super::model::{ChangeFolder, CopyFolder, CreateFolder, ListFolders};
use super::views::{FolderView, etag};
use super::{change, copy, lists, store, trash};
use crate::authentication::{Reader, Writer};
use crate::jobs::JobView;
use crate::serial::DeleteQuery;
use crate::state::AppState;

/// Creates a folder.
#[utoipa::path(
    post,
    path = "/v1/folders",
    operation_id = "create_folder",
    tag = "folders",
    params(("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect.")),
    request_body = CreateFolder,
    responses(
        (status = 201, description = "It was made.", body = FolderView),
        (status = 404, description = "The workspace or folder that it is to lie in does not exist.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The name is in use there.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is not valid.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn create_folder(
    state: Data<AppState>,
    writer: Writer,
    key: IdempotencyKey,
    body: ApiJson<CreateFolder>,
) -> ApiResult<HttpResponse> {
    Ok(change::create(&state, &writer, &key, body.0).await?.into())
}

/// Lists folders.
#[utoipa::path(
    get,
    path = "/v1/folders",
    operation_id = "list_folders",
    tag = "folders",
    params(ListFolders),
    responses(
        (status = 200, description = "A page.", body = Listing<FolderView>),
        (status = 400, description = "An id or the cursor can't be read.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not valid.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn list_folders(
    state: Data<AppState>,
    reader: Reader,
    query: ApiQuery<ListFolders>,
) -> ApiResult<Json<Listing<FolderView>>> {
    let page = lists::page(&reader.connection(&state).await?, &query.0).await?;
    Ok(Json(page.map(FolderView::from)))
}

/// Shows a folder.
#[utoipa::path(
    get,
    path = "/v1/folders/{fld}",
    operation_id = "get_folder",
    tag = "folders",
    params(("fld" = String, Path)),
    responses(
        (status = 200, description = "The folder.", body = FolderView),
        (status = 304, description = "It is as the caller has it."),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn get_folder(
    state: Data<AppState>,
    reader: Reader,
    id: ApiPath<FolderId>,
    known: IfNoneMatch,
) -> ApiResult<HttpResponse> {
    let folder = store::find(&reader.connection(&state).await?, id.0).await?;
    let etag = etag(&folder);
    if known.matches(&etag) {
        return Ok(HttpResponse::NotModified().insert_header(("etag", etag.as_str())).finish());
    }
    Ok(HttpResponse::Ok().insert_header(("etag", etag.as_str())).json(FolderView::from(folder)))
}

/// Lists the folders that a folder lies in, outermost first: none for one at the workspace's top.
#[utoipa::path(
    get,
    path = "/v1/folders/{fld}/ancestors",
    operation_id = "list_folder_ancestors",
    tag = "folders",
    params(("fld" = String, Path)),
    responses(
        (status = 200, description = "All of them: at most 63.", body = Listing<FolderView>),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn list_folder_ancestors(
    state: Data<AppState>,
    reader: Reader,
    id: ApiPath<FolderId>,
) -> ApiResult<Json<Listing<FolderView>>> {
    let mut path = store::path(&reader.connection(&state).await?, id.0).await?;
    path.pop();
    Ok(Json(Listing { items: path.into_iter().map(FolderView::from).collect(), next_cursor: None }))
}

/// Changes what the body names.
#[utoipa::path(
    patch,
    path = "/v1/folders/{fld}",
    operation_id = "change_folder",
    tag = "folders",
    params(("fld" = String, Path), ("if-match" = Option<String>, Header)),
    request_body = ChangeFolder,
    responses(
        (status = 200, description = "The folder as it is now.", body = FolderView),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The name is in use there, or the folder would lie in itself.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "It has changed since it was read.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "The workspace that it goes to has too little room.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is not valid, the folder would lie deeper than 64, or too much lies in it to go to another workspace.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn change_folder(
    state: Data<AppState>,
    writer: Writer,
    id: ApiPath<FolderId>,
    condition: IfMatch,
    body: ApiJson<ChangeFolder>,
) -> ApiResult<HttpResponse> {
    Ok(change::change(&state, &writer, id.0, &condition, body.0).await?.into())
}

/// Deletes a folder with everything in it.
#[utoipa::path(
    delete,
    path = "/v1/folders/{fld}",
    operation_id = "delete_folder",
    tag = "folders",
    params(("fld" = String, Path), DeleteQuery, ("if-match" = Option<String>, Header)),
    responses(
        (status = 202, description = "It is gone for everybody, and a job deletes what lies in it; or, with `purge`, a job removes it for good.", body = JobView),
        (status = 204, description = "It is gone, with its folders and files."),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is to be purged and is not deleted, or a job is at work on it.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "It has changed since it was read.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn delete_folder(
    state: Data<AppState>,
    writer: Writer,
    id: ApiPath<FolderId>,
    query: ApiQuery<DeleteQuery>,
    condition: IfMatch,
) -> ApiResult<HttpResponse> {
    if query.0.purge {
        return Ok(trash::purge(&state, &writer, id.0, &condition).await?.into());
    }
    Ok(change::delete(&state, &writer, id.0, &condition).await?.into())
}

/// Copies a folder with everything in it: of each file its current version, with tags and metadata. The copies' bytes are counted,
/// but stored once.
#[utoipa::path(
    post,
    path = "/v1/folders/{fld}/copy",
    operation_id = "copy_folder",
    tag = "folders",
    params(
        ("fld" = String, Path),
        ("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect."),
    ),
    request_body = CopyFolder,
    responses(
        (status = 201, description = "The copy.", body = FolderView),
        (status = 202, description = "A job makes the copy, which is its subject; it is there when that is done.", body = JobView),
        (status = 404, description = "There is no such folder, or not where the copy is to go.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The name is in use there, the copy would lie in the folder itself, or a job is at work in it.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "A quota has no room for it.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is not valid, or the copy would lie deeper than 64.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn copy_folder(
    state: Data<AppState>,
    writer: Writer,
    id: ApiPath<FolderId>,
    key: IdempotencyKey,
    body: ApiJson<CopyFolder>,
) -> ApiResult<HttpResponse> {
    Ok(copy::copy(&state, &writer, id.0, &key, &body.0).await?.into())
}

/// Brings a deleted folder back with what was deleted with it.
#[utoipa::path(
    post,
    path = "/v1/folders/{fld}/restore",
    operation_id = "restore_folder",
    tag = "folders",
    params(
        ("fld" = String, Path),
        ("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect."),
    ),
    responses(
        (status = 200, description = "It is back: where it was, or at its workspace's top where that is gone.", body = FolderView),
        (status = 202, description = "A job restores what was deleted with it; the folder is there when that is done.", body = JobView),
        (status = 404, description = "There is none of this id, or its workspace is deleted.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is not deleted, was deleted with what it lies in, or its name is in use by now.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 410, description = "It is being purged, or what it lies in.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["write_files"]))
)]
pub async fn restore_folder(
    state: Data<AppState>,
    writer: Writer,
    id: ApiPath<FolderId>,
    key: IdempotencyKey,
) -> ApiResult<HttpResponse> {
    Ok(trash::restore(&state, &writer, id.0, &key).await?.into())
}
