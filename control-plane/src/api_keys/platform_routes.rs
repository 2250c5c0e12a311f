//! HTTP in and out for platform admins' keys.

use actix_web::{HttpRequest, HttpResponse, web};
use rowhouse_web::{ApiJson, ApiQuery, ApiResult, IdempotencyKey, Listing, PageQuery};

use super::answers;
use super::model::{ApiKey, CreateApiKey, CreatedApiKey, KeyOwner};
use crate::authentication::PlatformAdmin;
use crate::context::Context;
use crate::problems::Problems;

/// Create an API key of the platform.
#[utoipa::path(post, path = "/v1/api-keys", tag = "api-keys", request_body = CreateApiKey,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = CreatedApiKey, headers(("Location" = String))), Problems))]
pub(crate) async fn create_platform_api_key(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    key: IdempotencyKey,
    body: ApiJson<CreateApiKey>,
) -> ApiResult<HttpResponse> {
    answers::create(&context, &admin.0, KeyOwner::Platform, &key, body.0).await
}

/// List API keys of the platform.
#[utoipa::path(get, path = "/v1/api-keys", tag = "api-keys", params(PageQuery),
    responses((status = 200, body = Listing<ApiKey>), Problems))]
pub(crate) async fn list_platform_api_keys(
    _: PlatformAdmin,
    context: web::Data<Context>,
    page: ApiQuery<PageQuery>,
) -> ApiResult<HttpResponse> {
    answers::list(&context, KeyOwner::Platform, &page.0).await
}

/// Read an API key of the platform.
#[utoipa::path(get, path = "/v1/api-keys/{key}", tag = "api-keys",
    params(("key" = String, Path, description = "The key's id.")),
    responses((status = 200, body = ApiKey, headers(("ETag" = String))), Problems))]
pub(crate) async fn get_platform_api_key(
    _: PlatformAdmin,
    context: web::Data<Context>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    answers::get(&context, KeyOwner::Platform, &request).await
}

/// Revoke an API key of the platform; it fails at once, everywhere.
#[utoipa::path(delete, path = "/v1/api-keys/{key}", tag = "api-keys",
    params(("key" = String, Path, description = "The key's id.")),
    responses((status = 204), Problems))]
pub(crate) async fn revoke_platform_api_key(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    answers::revoke(&context, &admin.0, KeyOwner::Platform, &request).await
}
