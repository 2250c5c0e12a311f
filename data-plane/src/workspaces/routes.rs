//! HTTP in and out.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use rowhouse_domain::WorkspaceId;
use rowhouse_problem::Error;
use rowhouse_web::{
    ApiJson, ApiPath, ApiQuery, ApiResult, IdempotencyKey, IfMatch, IfNoneMatch, Listing, ProblemDocument,
};
use uuid::Uuid;

use super::change::Deletable;
use super::model::{ChangeWorkspace, CreateWorkspace, ListWorkspaces, Workspace};
use super::views::{WorkspaceView, etag};
use super::{change, store, trash};
use crate::authentication::{Reader, WorkspaceManager};
use crate::jobs::JobView;
use crate::serial::{DeleteQuery, wanted_tag};
use crate::state::AppState;

/// Creates a workspace.
#[utoipa::path(
    post,
    path = "/v1/workspaces",
    operation_id = "create_workspace",
    tag = "workspaces",
    params(("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect.")),
    request_body = CreateWorkspace,
    responses(
        (status = 201, description = "It was made.", body = WorkspaceView),
        (status = 404, description = "The workspace that it is to lie in does not exist.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The name is in use there.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is not valid, or the organization has as many workspaces as it may.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["manage_workspaces"]))
)]
pub async fn create_workspace(
    state: Data<AppState>,
    manager: WorkspaceManager,
    key: IdempotencyKey,
    body: ApiJson<CreateWorkspace>,
) -> ApiResult<HttpResponse> {
    Ok(change::create(&state, &manager, &key, body.0).await?.into())
}

/// Lists workspaces in the order of their making.
#[utoipa::path(
    get,
    path = "/v1/workspaces",
    operation_id = "list_workspaces",
    tag = "workspaces",
    params(ListWorkspaces),
    responses(
        (status = 200, description = "A page.", body = Listing<WorkspaceView>),
        (status = 400, description = "An id or the cursor can't be read.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn list_workspaces(
    state: Data<AppState>,
    reader: Reader,
    query: ApiQuery<ListWorkspaces>,
) -> ApiResult<Json<Listing<WorkspaceView>>> {
    let page = query.0.page();
    let (limit, after) = (page.limit()?, page.after::<WorkspaceId>()?.map_or(Uuid::nil(), |id| id.as_uuid()));
    let parent = match query.0.parent_workspace_id.as_deref() {
        None => None,
        Some("root") => Some(None),
        Some(text) => Some(Some(rowhouse_web::parse_id::<WorkspaceId>(text)?)),
    };
    let tenant = reader.connection(&state).await?;
    let tag = wanted_tag(query.0.tag.as_deref())?;
    let chosen = tag.is_some() || query.0.workspace_type.is_some();
    let found = match parent {
        _ if query.0.deleted => {
            if parent.is_some() || chosen {
                return Err(Error::invalid_field("deleted", "goes with no other choice").into());
            }
            store::trash(&tenant, after, limit + 1).await?
        }
        _ if chosen => store::list_chosen(&tenant, tag, query.0.workspace_type, parent, after, limit + 1).await?,
        None => store::list(&tenant, after, limit + 1).await?,
        Some(None) => store::list_top(&tenant, after, limit + 1).await?,
        Some(Some(parent)) => store::list_in(&tenant, parent, after, limit + 1).await?,
    };
    Ok(Json(Listing::new(found, limit, |workspace: &Workspace| workspace.id).map(WorkspaceView::from)))
}

/// Shows a workspace.
#[utoipa::path(
    get,
    path = "/v1/workspaces/{wrk}",
    operation_id = "get_workspace",
    tag = "workspaces",
    params(("wrk" = String, Path)),
    responses(
        (status = 200, description = "The workspace.", body = WorkspaceView),
        (status = 304, description = "It is as the caller has it."),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["read_files"]))
)]
pub async fn get_workspace(
    state: Data<AppState>,
    reader: Reader,
    id: ApiPath<WorkspaceId>,
    known: IfNoneMatch,
) -> ApiResult<HttpResponse> {
    let tenant = reader.connection(&state).await?;
    let workspace = store::find(&tenant, id.0).await?.ok_or_else(|| Error::not_found("workspace", id.0))?;
    let etag = etag(&workspace);
    if known.matches(&etag) {
        return Ok(HttpResponse::NotModified().insert_header(("etag", etag.as_str())).finish());
    }
    Ok(HttpResponse::Ok().insert_header(("etag", etag.as_str())).json(WorkspaceView::from(workspace)))
}

/// Changes what the body names.
#[utoipa::path(
    patch,
    path = "/v1/workspaces/{wrk}",
    operation_id = "change_workspace",
    tag = "workspaces",
    params(("wrk" = String, Path), ("if-match" = Option<String>, Header)),
    request_body = ChangeWorkspace,
    responses(
        (status = 200, description = "The workspace as it is now.", body = WorkspaceView),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The name is in use there.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "It has changed since it was read.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is not valid.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["manage_workspaces"]))
)]
pub async fn change_workspace(
    state: Data<AppState>,
    manager: WorkspaceManager,
    id: ApiPath<WorkspaceId>,
    condition: IfMatch,
    body: ApiJson<ChangeWorkspace>,
) -> ApiResult<HttpResponse> {
    Ok(change::change(&state, &manager, id.0, &condition, body.0).await?.into())
}

/// Deletes a workspace with everything in it.
#[utoipa::path(
    delete,
    path = "/v1/workspaces/{wrk}",
    operation_id = "delete_workspace",
    tag = "workspaces",
    params(("wrk" = String, Path), DeleteQuery, ("if-match" = Option<String>, Header)),
    responses(
        (status = 202, description = "It is gone for everybody, and a job deletes what lies in it; or, with `purge`, a job removes it for good.", body = JobView),
        (status = 204, description = "It is gone, with its workspaces, folders and files."),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is to be purged and is not deleted, or a job is at work on it.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "It has changed since it was read.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["manage_workspaces"]))
)]
pub async fn delete_workspace(
    state: Data<AppState>,
    manager: WorkspaceManager,
    id: ApiPath<WorkspaceId>,
    query: ApiQuery<DeleteQuery>,
    condition: IfMatch,
) -> ApiResult<HttpResponse> {
    if query.0.purge {
        return Ok(trash::purge(&state, &manager, id.0, &condition).await?.into());
    }
    Ok(change::delete(&state, &manager, id.0, &condition, Deletable::Any).await?.into())
}

/// Brings a deleted workspace back with what was deleted with it.
#[utoipa::path(
    post,
    path = "/v1/workspaces/{wrk}/restore",
    operation_id = "restore_workspace",
    tag = "workspaces",
    params(
        ("wrk" = String, Path),
        ("idempotency-key" = Option<String>, Header, description = "Makes a repeated request have one effect."),
    ),
    responses(
        (status = 200, description = "It is back: where it was, or in none where that is gone.", body = WorkspaceView),
        (status = 202, description = "A job restores what was deleted with it; the workspace is there when that is done.", body = JobView),
        (status = 404, description = "There is none of this id.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is not deleted, was deleted with the one that it lies in, or its name is in use by now.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 410, description = "It is being purged, or what it lies in.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "The organization has as many workspaces as it may.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["manage_workspaces"]))
)]
pub async fn restore_workspace(
    state: Data<AppState>,
    manager: WorkspaceManager,
    id: ApiPath<WorkspaceId>,
    key: IdempotencyKey,
) -> ApiResult<HttpResponse> {
    Ok(change::restore(&state, &manager, id.0, &key).await?.into())
}
