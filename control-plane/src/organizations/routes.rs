//! HTTP in and out for organizations.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use rowhouse_domain::{OrganizationStatus, Tier};
use rowhouse_web::{ApiJson, ApiPath, ApiQuery, ApiResult, ETag, IdempotencyKey, IfMatch, Listing, PageQuery};
use serde::Deserialize;
use utoipa::IntoParams;

use super::changes;
use super::model::{CreateOrganization, Organization, PatchOrganization};
use super::store::{self, Filter};
use crate::authentication::{OrganizationAccess, PlatformAdmin};
use crate::context::Context;
use crate::input;
use crate::problems::Problems;

/// Create an organization.
#[utoipa::path(post, path = "/v1/organizations", tag = "organizations", request_body = CreateOrganization,
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again, the same request has one effect.")),
    responses((status = 201, body = Organization, headers(("Location" = String), ("ETag" = String))), Problems))]
pub(crate) async fn create_organization(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    key: IdempotencyKey,
    body: ApiJson<CreateOrganization>,
) -> ApiResult<HttpResponse> {
    let organization = changes::create(&context, &admin.0, &key, body.0).await?;
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/v1/organizations/{}", organization.id)))
        .insert_header((header::ETAG, ETag::of_row(organization.updated_at).to_string()))
        .json(organization))
}

/// Which organizations are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrganizationQuery {
    /// Those with this `subscription_status`.
    #[param(value_type = Option<String>)]
    status: Option<OrganizationStatus>,
    /// Those of this tier.
    #[param(value_type = Option<String>)]
    subscription_tier: Option<Tier>,
    /// The one with this e-mail address.
    email: Option<String>,
    /// Those with exactly this name.
    name: Option<String>,
    /// Most items to answer with, 1 to 200 (default 50).
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List organizations.
#[utoipa::path(get, path = "/v1/organizations", tag = "organizations", params(OrganizationQuery),
    responses((status = 200, body = Listing<Organization>), Problems))]
pub(crate) async fn list_organizations(
    _: PlatformAdmin,
    context: web::Data<Context>,
    query: ApiQuery<OrganizationQuery>,
) -> ApiResult<HttpResponse> {
    let query = query.0;
    let page = PageQuery { limit: query.limit, cursor: query.cursor };
    let limit = page.limit()?;
    let filter = Filter {
        after: page.after()?,
        status: query.status,
        tier: query.subscription_tier,
        email: input::filter("email", query.email)?,
        name: input::filter("name", query.name)?,
    };
    let found = store::list(&context.platform.get().await?, &filter, limit + 1).await?;
    Ok(HttpResponse::Ok().json(Listing::new(found, limit, |organization| organization.id)))
}

/// Read an organization.
#[utoipa::path(get, path = "/v1/organizations/{org}", tag = "organizations",
    params(("org" = String, Path, description = "The organization's id.")),
    responses((status = 200, body = Organization, headers(("ETag" = String))), Problems))]
pub(crate) async fn get_organization(access: OrganizationAccess) -> ApiResult<HttpResponse> {
    Ok(found(&access.organization))
}

/// Change an organization.
#[utoipa::path(patch, path = "/v1/organizations/{org}", tag = "organizations", request_body = PatchOrganization,
    params(("org" = String, Path, description = "The organization's id."), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Organization, headers(("ETag" = String))), Problems))]
pub(crate) async fn update_organization(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<rowhouse_domain::OrganizationId>,
    if_match: IfMatch,
    body: ApiJson<PatchOrganization>,
) -> ApiResult<HttpResponse> {
    Ok(found(&changes::update(&context, &admin.0, id.0, &if_match, body.0).await?))
}

/// Delete an organization that has no tenants.
#[utoipa::path(delete, path = "/v1/organizations/{org}", tag = "organizations",
    params(("org" = String, Path, description = "The organization's id."), ("If-Match" = Option<String>, Header)),
    responses((status = 204), Problems))]
pub(crate) async fn delete_organization(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<rowhouse_domain::OrganizationId>,
    if_match: IfMatch,
) -> ApiResult<HttpResponse> {
    changes::delete(&context, &admin.0, id.0, &if_match).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn found(organization: &Organization) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::ETAG, ETag::of_row(organization.updated_at).to_string()))
        .json(organization)
}
