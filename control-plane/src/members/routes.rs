//! HTTP in and out for members.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use rowhouse_domain::{MemberRole, MemberStatus};
use rowhouse_problem::Error;
use rowhouse_web::{ApiJson, ApiPath, ApiQuery, ApiResult, ETag, IdempotencyKey, IfMatch, Listing, PageQuery};
use serde::Deserialize;
use utoipa::IntoParams;

use super::changes;
use super::model::{CreateMember, Member, PatchMember};
use super::store::{self, Filter};
use crate::authentication::OrganizationAccess;
use crate::context::Context;
use crate::input;
use crate::problems::Problems;

/// Invite somebody by e-mail, or add an existing user.
#[utoipa::path(post, path = "/v1/organizations/{org}/members", tag = "members", request_body = CreateMember,
    params(("org" = String, Path, description = "The organization's id."), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = Member, headers(("Location" = String), ("ETag" = String))), Problems))]
pub(crate) async fn create_member(
    access: OrganizationAccess,
    context: web::Data<Context>,
    key: IdempotencyKey,
    body: ApiJson<CreateMember>,
) -> ApiResult<HttpResponse> {
    let member = changes::create(&context, &access, &key, body.0).await?;
    Ok(HttpResponse::Created()
        .insert_header((
            header::LOCATION,
            format!("/v1/organizations/{}/members/{}", member.organization_id, member.id),
        ))
        .insert_header((header::ETAG, ETag::of_row(member.updated_at).to_string()))
        .json(member))
}

/// Which members are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberQuery {
    /// Those with this role.
    #[param(value_type = Option<String>)]
    role: Option<MemberRole>,
    /// Those with this status.
    #[param(value_type = Option<String>)]
    status: Option<MemberStatus>,
    /// The one with this e-mail address.
    email: Option<String>,
    /// Most items to answer with, 1 to 200 (default 50).
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List members.
#[utoipa::path(get, path = "/v1/organizations/{org}/members", tag = "members",
    params(("org" = String, Path, description = "The organization's id."), MemberQuery),
    responses((status = 200, body = Listing<Member>), Problems))]
pub(crate) async fn list_members(
    access: OrganizationAccess,
    context: web::Data<Context>,
    query: ApiQuery<MemberQuery>,
) -> ApiResult<HttpResponse> {
    let query = query.0;
    let page = PageQuery { limit: query.limit, cursor: query.cursor };
    let limit = page.limit()?;
    let email = input::filter("email", query.email)?;
    let filter = Filter { after: page.after()?, role: query.role, status: query.status, email };
    let found = store::list(&context.platform.get().await?, access.organization.id, &filter, limit + 1).await?;
    Ok(HttpResponse::Ok().json(Listing::new(found, limit, |member| member.id)))
}

/// Read a member.
#[utoipa::path(get, path = "/v1/organizations/{org}/members/{mem}", tag = "members",
    params(("org" = String, Path, description = "The organization's id."), ("mem" = String, Path, description = "The membership's id.")),
    responses((status = 200, body = Member, headers(("ETag" = String))), Problems))]
pub(crate) async fn get_member(
    access: OrganizationAccess,
    context: web::Data<Context>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let id = ApiPath::named(&request, "mem")?;
    let member = store::find(&context.platform.get().await?, access.organization.id, id).await?;
    Ok(found(&member.ok_or_else(|| Error::not_found("member", id))?))
}

/// Change a member.
#[utoipa::path(patch, path = "/v1/organizations/{org}/members/{mem}", tag = "members", request_body = PatchMember,
    params(("org" = String, Path, description = "The organization's id."), ("mem" = String, Path, description = "The membership's id."),
        ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Member, headers(("ETag" = String))), Problems))]
pub(crate) async fn update_member(
    access: OrganizationAccess,
    context: web::Data<Context>,
    request: HttpRequest,
    if_match: IfMatch,
    body: ApiJson<PatchMember>,
) -> ApiResult<HttpResponse> {
    let id = ApiPath::named(&request, "mem")?;
    Ok(found(&changes::update(&context, &access, id, &if_match, body.0).await?))
}

/// Remove a member.
#[utoipa::path(delete, path = "/v1/organizations/{org}/members/{mem}", tag = "members",
    params(("org" = String, Path, description = "The organization's id."), ("mem" = String, Path, description = "The membership's id."),
        ("If-Match" = Option<String>, Header)),
    responses((status = 204), Problems))]
pub(crate) async fn delete_member(
    access: OrganizationAccess,
    context: web::Data<Context>,
    request: HttpRequest,
    if_match: IfMatch,
) -> ApiResult<HttpResponse> {
    changes::delete(&context, &access, ApiPath::named(&request, "mem")?, &if_match).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn found(member: &Member) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::ETAG, ETag::of_row(member.updated_at).to_string())).json(member)
}
