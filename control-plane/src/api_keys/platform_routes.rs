//! HTTP in and out for platform admins' keys.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use rowhouse_problem::Error;
use rowhouse_web::{ApiJson, ApiPath, ApiQuery, ApiResult, IdempotencyKey, Listing, PageQuery};

use super::model::{ApiKey, CreateApiKey, CreatedApiKey, KeyOwner};
use super::{changes, store};
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
    let owner = KeyOwner::Platform;
    let created = changes::create(&context, &admin.0, &owner, &key, body.0).await?;
    let location = format!("{}/{}", owner.path(), created.api_key.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(created))
}

/// List API keys of the platform.
#[utoipa::path(get, path = "/v1/api-keys", tag = "api-keys", params(PageQuery),
    responses((status = 200, body = Listing<ApiKey>), Problems))]
pub(crate) async fn list_platform_api_keys(
    _: PlatformAdmin,
    context: web::Data<Context>,
    page: ApiQuery<PageQuery>,
) -> ApiResult<HttpResponse> {
    let limit = page.0.limit()?;
    let keys = store::list(&context.platform.get().await?, &KeyOwner::Platform, page.0.after()?, limit + 1).await?;
    Ok(HttpResponse::Ok().json(Listing::new(keys, limit, |key| key.id)))
}

/// Read an API key of the platform.
#[utoipa::path(get, path = "/v1/api-keys/{key}", tag = "api-keys",
    params(("key" = String, Path, description = "The key's id.")),
    responses((status = 200, body = ApiKey), Problems))]
pub(crate) async fn get_platform_api_key(
    _: PlatformAdmin,
    context: web::Data<Context>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let id = ApiPath::named(&request, "key")?;
    let key = store::find(&context.platform.get().await?, &KeyOwner::Platform, id).await?;
    Ok(HttpResponse::Ok().json(key.ok_or_else(|| Error::not_found("API key", id))?))
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
    changes::revoke(&context, &admin.0, &KeyOwner::Platform, ApiPath::named(&request, "key")?).await?;
    Ok(HttpResponse::NoContent().finish())
}
