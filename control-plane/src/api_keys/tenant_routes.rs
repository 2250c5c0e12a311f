//! HTTP in and out for tenants' keys.

use actix_web::{HttpRequest, HttpResponse, web};
use rowhouse_web::{ApiJson, ApiQuery, ApiResult, IdempotencyKey, IfMatch, Listing, PageQuery};

use super::answers;
use super::model::{ApiKey, CreateApiKey, CreatedApiKey, KeyOwner, PatchApiKey};
use crate::authentication::TenantAccess;
use crate::context::Context;
use crate::problems::Problems;

/// Create an API key of a tenant.
#[utoipa::path(post, path = "/v1/tenants/{ten}/api-keys", tag = "api-keys", request_body = CreateApiKey,
    params(("ten" = String, Path, description = "The tenant's id."), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = CreatedApiKey, headers(("Location" = String))), Problems))]
pub(crate) async fn create_tenant_api_key(
    access: TenantAccess,
    context: web::Data<Context>,
    key: IdempotencyKey,
    body: ApiJson<CreateApiKey>,
) -> ApiResult<HttpResponse> {
    answers::create(&context, &access.caller, owner(&access), &key, body.0).await
}

/// List API keys of a tenant.
#[utoipa::path(get, path = "/v1/tenants/{ten}/api-keys", tag = "api-keys", params(("ten" = String, Path, description = "The tenant's id."), PageQuery),
    responses((status = 200, body = Listing<ApiKey>), Problems))]
pub(crate) async fn list_tenant_api_keys(
    access: TenantAccess,
    context: web::Data<Context>,
    page: ApiQuery<PageQuery>,
) -> ApiResult<HttpResponse> {
    answers::list(&context, owner(&access), &page.0).await
}

/// Read an API key of a tenant.
#[utoipa::path(get, path = "/v1/tenants/{ten}/api-keys/{key}", tag = "api-keys",
    params(("ten" = String, Path, description = "The tenant's id."), ("key" = String, Path, description = "The key's id.")),
    responses((status = 200, body = ApiKey, headers(("ETag" = String))), Problems))]
pub(crate) async fn get_tenant_api_key(
    access: TenantAccess,
    context: web::Data<Context>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    answers::get(&context, owner(&access), &request).await
}

/// Give an API key of a tenant a rate limit of its own, or its tier's again.
#[utoipa::path(patch, path = "/v1/tenants/{ten}/api-keys/{key}", tag = "api-keys", request_body = PatchApiKey,
    params(("ten" = String, Path, description = "The tenant's id."), ("key" = String, Path, description = "The key's id."),
        ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = ApiKey, headers(("ETag" = String))), Problems))]
pub(crate) async fn update_tenant_api_key(
    access: TenantAccess,
    context: web::Data<Context>,
    request: HttpRequest,
    if_match: IfMatch,
    body: ApiJson<PatchApiKey>,
) -> ApiResult<HttpResponse> {
    answers::update(&context, &access.caller, owner(&access), &request, &if_match, body.0).await
}

/// Revoke an API key of a tenant; it fails at once, everywhere.
#[utoipa::path(delete, path = "/v1/tenants/{ten}/api-keys/{key}", tag = "api-keys",
    params(("ten" = String, Path, description = "The tenant's id."), ("key" = String, Path, description = "The key's id.")),
    responses((status = 204), Problems))]
pub(crate) async fn revoke_tenant_api_key(
    access: TenantAccess,
    context: web::Data<Context>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    answers::revoke(&context, &access.caller, owner(&access), &request).await
}

fn owner(access: &TenantAccess) -> KeyOwner {
    KeyOwner::Tenant(access.tenant.id, access.tenant.organization_id)
}
