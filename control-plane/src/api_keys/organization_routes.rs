//! HTTP in and out for organizations' keys.

use actix_web::{HttpRequest, HttpResponse, web};
use rowhouse_web::{ApiJson, ApiQuery, ApiResult, IdempotencyKey, Listing, PageQuery};

use super::answers;
use super::model::{ApiKey, CreateApiKey, CreatedApiKey, KeyOwner};
use crate::authentication::OrganizationAccess;
use crate::context::Context;
use crate::problems::Problems;

/// Create an API key of an organization.
#[utoipa::path(post, path = "/v1/organizations/{org}/api-keys", tag = "api-keys", request_body = CreateApiKey,
    params(("org" = String, Path, description = "The organization's id."), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = CreatedApiKey, headers(("Location" = String))), Problems))]
pub(crate) async fn create_organization_api_key(
    access: OrganizationAccess,
    context: web::Data<Context>,
    key: IdempotencyKey,
    body: ApiJson<CreateApiKey>,
) -> ApiResult<HttpResponse> {
    answers::create(&context, &access.caller, owner(&access), &key, body.0).await
}

/// List API keys of an organization.
#[utoipa::path(get, path = "/v1/organizations/{org}/api-keys", tag = "api-keys", params(("org" = String, Path, description = "The organization's id."), PageQuery),
    responses((status = 200, body = Listing<ApiKey>), Problems))]
pub(crate) async fn list_organization_api_keys(
    access: OrganizationAccess,
    context: web::Data<Context>,
    page: ApiQuery<PageQuery>,
) -> ApiResult<HttpResponse> {
    answers::list(&context, owner(&access), &page.0).await
}

/// Read an API key of an organization.
#[utoipa::path(get, path = "/v1/organizations/{org}/api-keys/{key}", tag = "api-keys",
    params(("org" = String, Path, description = "The organization's id."), ("key" = String, Path, description = "The key's id.")),
    responses((status = 200, body = ApiKey, headers(("ETag" = String))), Problems))]
pub(crate) async fn get_organization_api_key(
    access: OrganizationAccess,
    context: web::Data<Context>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    answers::get(&context, owner(&access), &request).await
}

/// Revoke an API key of an organization; it fails at once, everywhere.
#[utoipa::path(delete, path = "/v1/organizations/{org}/api-keys/{key}", tag = "api-keys",
    params(("org" = String, Path, description = "The organization's id."), ("key" = String, Path, description = "The key's id.")),
    responses((status = 204), Problems))]
pub(crate) async fn revoke_organization_api_key(
    access: OrganizationAccess,
    context: web::Data<Context>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    answers::revoke(&context, &access.caller, owner(&access), &request).await
}

fn owner(access: &OrganizationAccess) -> KeyOwner {
    KeyOwner::Organization(access.organization.id)
}
