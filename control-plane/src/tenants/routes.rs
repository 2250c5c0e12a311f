//! HTTP in and out for tenants. What takes long answers 202 with its operation, unless `Prefer: wait` lets it be done.

use std::time::Duration;

use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use rowhouse_domain::{OperationId, TenantStatus};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ApiJson, ApiQuery, ApiResult, ETag, IdempotencyKey, IfMatch, Listing, PageQuery, Prefer};
use serde::Deserialize;
use utoipa::IntoParams;

use super::inspection::{self, TenantDatabase};
use super::lifecycle::{self, Moved, Wish};
use super::model::Tenant;
use super::purge::{self, Preview, PurgeTenant};
use super::requests::{CreateTenant, PatchTenant, SuspendTenant};
use super::store::{self, Filter};
use super::{changes, create};
use crate::authentication::{OrganizationAccess, TenantAccess};
use crate::context::Context;
use crate::input;
use crate::operations::routes::accepted;
use crate::operations::{self, Operation, OperationState};
use crate::problems::Problems;

/// Create a tenant: a role, a database and a schema of its own.
#[utoipa::path(post, path = "/v1/organizations/{org}/tenants", tag = "tenants", request_body = CreateTenant,
    params(("org" = String, Path, description = "The organization's id."), ("Idempotency-Key" = Option<String>, Header),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: seconds to wait for the tenant to be ready (default 10); `respond-async`.")),
    responses((status = 201, body = Tenant, headers(("Location" = String), ("ETag" = String))),
        (status = 202, body = Operation, description = "It is still being made.", headers(("Location" = String))), Problems))]
pub(crate) async fn create_tenant(
    access: OrganizationAccess,
    context: web::Data<Context>,
    key: IdempotencyKey,
    prefer: Prefer,
    body: ApiJson<CreateTenant>,
) -> ApiResult<HttpResponse> {
    let wished = create::request(&context, &access, &key, body.0).await?;
    let waited = operations::wait(&context, wished.operation, patience(&context, prefer)).await?;
    if let Some(operation) = waited {
        return Ok(not_succeeded(&operation)?);
    }
    let tenant = read(&context, &wished.tenant).await?;
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/v1/tenants/{}", tenant.id)))
        .insert_header((header::ETAG, ETag::of_row(tenant.updated_at).to_string()))
        .json(tenant))
}

/// Which tenants are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantQuery {
    /// Those with this status; without it, all but deleted ones.
    #[param(value_type = Option<String>)]
    status: Option<TenantStatus>,
    /// The one with this external id.
    external_id: Option<String>,
    /// The one with this name.
    name: Option<String>,
    /// Most items to answer with, 1 to 200 (default 50).
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List an organization's tenants.
#[utoipa::path(get, path = "/v1/organizations/{org}/tenants", tag = "tenants",
    params(("org" = String, Path, description = "The organization's id."), TenantQuery),
    responses((status = 200, body = Listing<Tenant>), Problems))]
pub(crate) async fn list_tenants(
    access: OrganizationAccess,
    context: web::Data<Context>,
    query: ApiQuery<TenantQuery>,
) -> ApiResult<HttpResponse> {
    let query = query.0;
    let page = PageQuery { limit: query.limit, cursor: query.cursor };
    let limit = page.limit()?;
    let filter = Filter {
        after: page.after()?,
        status: query.status,
        external_id: input::filter("external_id", query.external_id)?,
        name: input::filter("name", query.name)?,
    };
    let found = store::list(&context.platform.get().await?, access.organization.id, &filter, limit + 1).await?;
    Ok(HttpResponse::Ok().json(Listing::new(found, limit, |tenant| tenant.id)))
}

/// Read a tenant, a deleted one too.
#[utoipa::path(get, path = "/v1/tenants/{ten}", tag = "tenants",
    params(("ten" = String, Path, description = "The tenant's id.")),
    responses((status = 200, body = Tenant, headers(("ETag" = String))), Problems))]
pub(crate) async fn get_tenant(access: TenantAccess) -> ApiResult<HttpResponse> {
    Ok(found(&access.tenant))
}

/// Change a tenant. A new name is shown from now on; the database keeps its own.
#[utoipa::path(patch, path = "/v1/tenants/{ten}", tag = "tenants", request_body = PatchTenant,
    params(("ten" = String, Path, description = "The tenant's id."), ("If-Match" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = Tenant, headers(("ETag" = String))),
        (status = 202, body = Operation, description = "Its login still follows.", headers(("Location" = String))), Problems))]
pub(crate) async fn update_tenant(
    access: TenantAccess,
    context: web::Data<Context>,
    if_match: IfMatch,
    prefer: Prefer,
    body: ApiJson<PatchTenant>,
) -> ApiResult<HttpResponse> {
    let moved = changes::update(&context, &access, &if_match, body.0).await?;
    settled(&context, moved, prefer).await
}

/// Suspend a tenant: its keys are refused, its login is shut and its sessions end.
#[utoipa::path(post, path = "/v1/tenants/{ten}/suspend", tag = "tenants", request_body = Option<SuspendTenant>,
    params(("ten" = String, Path, description = "The tenant's id."), ("If-Match" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = Tenant, headers(("ETag" = String))),
        (status = 202, body = Operation, description = "Its login still follows.", headers(("Location" = String))), Problems))]
pub(crate) async fn suspend_tenant(
    access: TenantAccess,
    context: web::Data<Context>,
    if_match: IfMatch,
    prefer: Prefer,
    request: HttpRequest,
    payload: web::Payload,
) -> ApiResult<HttpResponse> {
    let reason = reason(&request, payload).await?;
    let moved = lifecycle::fulfil(&context, &access, &if_match, Wish::Suspend, reason.as_deref()).await?;
    settled(&context, moved, prefer).await
}

/// Why, where the request has a body at all.
async fn reason(request: &HttpRequest, payload: web::Payload) -> ApiResult<Option<String>> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    if length.is_none_or(|length| length == "0") && !request.headers().contains_key(header::TRANSFER_ENCODING) {
        return Ok(None);
    }
    let body = ApiJson::<SuspendTenant>::from_request(request, &mut payload.into_inner()).await?;
    let text = body.0.reason.map(|text| input::text(&text, 500)).transpose();
    Ok(text.map_err(|detail| Error::invalid_field("/reason", detail))?)
}

/// Resume a suspended or inactive tenant; try again to make one that failed.
#[utoipa::path(post, path = "/v1/tenants/{ten}/resume", tag = "tenants",
    params(("ten" = String, Path, description = "The tenant's id."), ("If-Match" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = Tenant, headers(("ETag" = String))),
        (status = 202, body = Operation, description = "It is not done yet.", headers(("Location" = String))), Problems))]
pub(crate) async fn resume_tenant(
    access: TenantAccess,
    context: web::Data<Context>,
    if_match: IfMatch,
    prefer: Prefer,
) -> ApiResult<HttpResponse> {
    let moved = lifecycle::fulfil(&context, &access, &if_match, Wish::Resume, None).await?;
    settled(&context, moved, prefer).await
}

/// Restore a deleted tenant, to the state that it was deleted in.
#[utoipa::path(post, path = "/v1/tenants/{ten}/restore", tag = "tenants",
    params(("ten" = String, Path, description = "The tenant's id."), ("If-Match" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = Tenant, headers(("ETag" = String))),
        (status = 202, body = Operation, description = "Its login still follows.", headers(("Location" = String))), Problems))]
pub(crate) async fn restore_tenant(
    access: TenantAccess,
    context: web::Data<Context>,
    if_match: IfMatch,
    prefer: Prefer,
) -> ApiResult<HttpResponse> {
    let moved = lifecycle::fulfil(&context, &access, &if_match, Wish::Restore, None).await?;
    settled(&context, moved, prefer).await
}

/// Delete a tenant. Its data is kept for `tenancy.retention_days`, in which it can be restored.
#[utoipa::path(delete, path = "/v1/tenants/{ten}", tag = "tenants",
    params(("ten" = String, Path, description = "The tenant's id."), ("If-Match" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses((status = 204), (status = 202, body = Operation, description = "Its login still follows.", headers(("Location" = String))), Problems))]
pub(crate) async fn delete_tenant(
    access: TenantAccess,
    context: web::Data<Context>,
    if_match: IfMatch,
    prefer: Prefer,
) -> ApiResult<HttpResponse> {
    let moved = lifecycle::fulfil(&context, &access, &if_match, Wish::Delete, None).await?;
    let answer = done(&context, moved.operation, prefer).await?;
    Ok(answer.unwrap_or_else(|| HttpResponse::NoContent().finish()))
}

/// Purge a deleted tenant: its data, its login and its contents go for good. What is left is a tombstone.
#[utoipa::path(post, path = "/v1/tenants/{ten}/purge", tag = "tenants", request_body = PurgeTenant,
    params(("ten" = String, Path, description = "The tenant's id."), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = Preview, description = "What would go, where `dry_run` was asked for."), (status = 204),
        (status = 202, body = Operation, description = "It is not gone yet.", headers(("Location" = String))), Problems))]
pub(crate) async fn purge_tenant(
    access: TenantAccess,
    context: web::Data<Context>,
    prefer: Prefer,
    body: ApiJson<PurgeTenant>,
) -> ApiResult<HttpResponse> {
    let tenant = &access.tenant;
    if tenant.status != TenantStatus::Deleted {
        return Err(purge::refusal(tenant).into());
    }
    if body.0.name != tenant.name {
        return Err(Error::invalid_field("/name", "must be the tenant's name, to say that this one is meant").into());
    }
    if body.0.dry_run {
        return Ok(HttpResponse::Ok().json(purge::look(&context, tenant).await?));
    }
    let operation = purge::request(&context, &access.caller.requester, tenant, body.0.force).await?;
    let answer = done(&context, Some(operation), prefer).await?;
    Ok(answer.unwrap_or_else(|| HttpResponse::NoContent().finish()))
}

/// Look at a tenant's database.
#[utoipa::path(get, path = "/v1/tenants/{ten}/database", tag = "tenants",
    params(("ten" = String, Path, description = "The tenant's id.")),
    responses((status = 200, body = TenantDatabase), Problems))]
pub(crate) async fn get_tenant_database(access: TenantAccess, context: web::Data<Context>) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Ok().json(inspection::look(&context, &access.tenant).await?))
}

/// The tenant as it is once PostgreSQL has followed, or the operation that it is following by.
async fn settled(context: &Context, moved: Moved, prefer: Prefer) -> ApiResult<HttpResponse> {
    if let Some(answer) = done(context, moved.operation, prefer).await? {
        return Ok(answer);
    }
    Ok(found(&read(context, &moved.tenant.id).await?))
}

/// Waits for an operation, if there is one; an answer where it did not succeed in time.
async fn done(context: &Context, operation: Option<OperationId>, prefer: Prefer) -> Result<Option<HttpResponse>> {
    match operation {
        None => Ok(None),
        Some(id) => {
            let waited = operations::wait(context, id, patience(context, prefer)).await?;
            waited.map(|operation| not_succeeded(&operation)).transpose()
        }
    }
}

/// The answer where the work has not succeeded, or not yet.
fn not_succeeded(operation: &Operation) -> Result<HttpResponse> {
    match operation.state {
        OperationState::Queued | OperationState::Running | OperationState::Succeeded => Ok(accepted(operation)),
        OperationState::Failed => {
            let detail = format!("Operation {} says what went wrong. Ask for it again to try again.", operation.id);
            Err(Error::new(Code::ProvisioningFailed, detail).with("operation_id", operation.id.to_string()))
        }
        OperationState::Cancelled => {
            let detail = "Something else was decided about the tenant in the meantime.";
            Err(Error::new(Code::InvalidTransition, detail).with("operation_id", operation.id.to_string()))
        }
    }
}

fn patience(context: &Context, prefer: Prefer) -> Duration {
    prefer.wait_or(context.settings.provisioning.wait)
}

async fn read(context: &Context, id: &rowhouse_domain::TenantId) -> Result<Tenant> {
    let tenant = store::find(&context.platform.get().await?, *id).await?;
    tenant.ok_or_else(|| Error::not_found("tenant", id))
}

fn found(tenant: &Tenant) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::ETAG, ETag::of_row(tenant.updated_at).to_string())).json(tenant)
}
