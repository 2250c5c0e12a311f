//! HTTP in and out for organizations' keys.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use rowhouse_problem::Error;
use rowhouse_web::{ApiJson, ApiPath, ApiQuery, ApiResult, IdempotencyKey, Listing, PageQuery};

use super::model::{ApiKey, CreateApiKey, CreatedApiKey, KeyOwner};
use super::{changes, store};
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
    let owner = owner(&access);
    let created = changes::create(&context, &access.caller, &owner, &key, body.0).await?;
    let location = format!("{}/{}", owner.path(), created.api_key.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(created))
}

/// List API keys of an organization.
#[utoipa::path(get, path = "/v1/organizations/{org}/api-keys", tag = "api-keys", params(("org" = String, Path, description = "The organization's id."), PageQuery),
    responses((status = 200, body = Listing<ApiKey>), Problems))]
pub(crate) async fn list_organization_api_keys(
    access: OrganizationAccess,
    context: web::Data<Context>,
    page: ApiQuery<PageQuery>,
) -> ApiResult<HttpResponse> {
    let limit = page.0.limit()?;
    let keys = store::list(&context.platform.get().await?, &owner(&access), page.0.after()?, limit + 1).await?;
    Ok(HttpResponse::Ok().json(Listing::new(keys, limit, |key| key.id)))
}

/// Read an API key of an organization.
#[utoipa::path(get, path = "/v1/organizations/{org}/api-keys/{key}", tag = "api-keys",
    params(("org" = String, Path, description = "The organization's id."), ("key" = String, Path, description = "The key's id.")),
    responses((status = 200, body = ApiKey), Problems))]
pub(crate) async fn get_organization_api_key(
    access: OrganizationAccess,
    context: web::Data<Context>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let id = ApiPath::named(&request, "key")?;
    let key = store::find(&context.platform.get().await?, &owner(&access), id).await?;
    Ok(HttpResponse::Ok().json(key.ok_or_else(|| Error::not_found("API key", id))?))
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
    changes::revoke(&context, &access.caller, &owner(&access), ApiPath::named(&request, "key")?).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn owner(access: &OrganizationAccess) -> KeyOwner {
    KeyOwner::Organization(access.organization.id)
}
