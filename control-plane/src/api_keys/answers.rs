//! What the routes of all three kinds of keys have in common: everything but whose keys they are.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use rowhouse_problem::Error;
use rowhouse_web::{ApiPath, ApiResult, ETag, IdempotencyKey, IfMatch, Listing, PageQuery};

use super::model::{ApiKey, CreateApiKey, KeyOwner, PatchApiKey};
use super::{changes, store};
use crate::authentication::Caller;
use crate::context::Context;

/// Makes a key.
pub(super) async fn create(
    context: &Context,
    caller: &Caller,
    owner: KeyOwner,
    key: &IdempotencyKey,
    body: CreateApiKey,
) -> ApiResult<HttpResponse> {
    let created = changes::create(context, caller, &owner, key, body).await?;
    let location = format!("{}/{}", owner.path(), created.api_key.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(created))
}

/// Lists keys.
pub(super) async fn list(context: &Context, owner: KeyOwner, page: &PageQuery) -> ApiResult<HttpResponse> {
    let limit = page.limit()?;
    let keys = store::list(&context.platform.get().await?, &owner, page.after()?, limit + 1).await?;
    Ok(HttpResponse::Ok().json(Listing::new(keys, limit, |key| key.id)))
}

/// Reads the key `{key}`.
pub(super) async fn get(context: &Context, owner: KeyOwner, request: &HttpRequest) -> ApiResult<HttpResponse> {
    let id = ApiPath::named(request, "key")?;
    let key = store::find(&context.platform.get().await?, &owner, id).await?;
    Ok(found(&key.ok_or_else(|| Error::not_found("API key", id))?))
}

/// Changes the key `{key}`, which is a tenant's.
pub(super) async fn update(
    context: &Context,
    caller: &Caller,
    owner: KeyOwner,
    request: &HttpRequest,
    if_match: &IfMatch,
    patch: PatchApiKey,
) -> ApiResult<HttpResponse> {
    let id = ApiPath::named(request, "key")?;
    Ok(found(&changes::update(context, caller, &owner, id, if_match, patch).await?))
}

fn found(key: &ApiKey) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::ETAG, ETag::of_row(key.updated_at).to_string())).json(key)
}

/// Revokes the key `{key}`.
pub(super) async fn revoke(
    context: &Context,
    caller: &Caller,
    owner: KeyOwner,
    request: &HttpRequest,
) -> ApiResult<HttpResponse> {
    changes::revoke(context, caller, &owner, ApiPath::named(request, "key")?).await?;
    Ok(HttpResponse::NoContent().finish())
}
