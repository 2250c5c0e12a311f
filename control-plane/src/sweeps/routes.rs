//! HTTP in and out for comparing schemas with their templates.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use rowhouse_domain::{SchemaCheckState, SweepId, TenantId};
use rowhouse_problem::Error;
use rowhouse_web::{ApiJson, ApiPath, ApiQuery, ApiResult, IdempotencyKey, Listing, PageQuery};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::model::{Acceptance, SchemaCheck, Sweep};
use super::{accept, begin, store};
use crate::authentication::PlatformAdmin;
use crate::context::Context;
use crate::fleet::{self, Where};
use crate::problems::Problems;

/// Which schemas to look at; all of them where nothing is said.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartSweep {
    #[serde(default, rename = "where")]
    pub(crate) selection: Where,
}

/// Compare schemas with the templates of their versions. It goes on by itself; schemas that differ are listed as they are found.
#[utoipa::path(post, path = "/v1/schema-sweeps", tag = "migrations", request_body = StartSweep,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = Sweep, headers(("Location" = String))), Problems))]
pub(crate) async fn start_schema_sweep(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    key: IdempotencyKey,
    body: ApiJson<StartSweep>,
) -> ApiResult<HttpResponse> {
    let sweep = begin::start(&context, &admin.0, &key, &body.0).await?;
    Ok(HttpResponse::Created().insert_header((header::LOCATION, format!("/v1/schema-sweeps/{}", sweep.id))).json(sweep))
}

/// List sweeps, the newest first: those that somebody asked for, those on the schedule, and those after runs.
#[utoipa::path(get, path = "/v1/schema-sweeps", tag = "migrations", params(PageQuery),
    responses((status = 200, body = Listing<Sweep>), Problems))]
pub(crate) async fn list_schema_sweeps(
    _: PlatformAdmin,
    context: web::Data<Context>,
    page: ApiQuery<PageQuery>,
) -> ApiResult<HttpResponse> {
    let (limit, before) = (page.0.limit()?, page.0.after()?);
    let sweeps = store::list(&context.platform.get().await?, before, limit + 1).await?;
    Ok(HttpResponse::Ok().json(Listing::new(sweeps, limit, |sweep| sweep.id)))
}

/// Read a sweep: how far it is, and how many schemas are the same, differ, or could not be read.
#[utoipa::path(get, path = "/v1/schema-sweeps/{swp}", tag = "migrations",
    params(("swp" = String, Path, description = "The sweep's id.")), responses((status = 200, body = Sweep), Problems))]
pub(crate) async fn get_schema_sweep(
    _: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<SweepId>,
) -> ApiResult<HttpResponse> {
    let sweep = store::find(&context.platform.get().await?, id.0).await?;
    Ok(HttpResponse::Ok().json(sweep.ok_or_else(|| Error::not_found("sweep", id.0))?))
}

/// What is listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChecksQuery {
    /// Those that this sweep was the last to look at.
    #[param(value_type = Option<String>)]
    sweep_id: Option<SweepId>,
    /// `same`, `different`, `accepted` or `unreadable`; all, unless given.
    #[param(value_type = Option<String>)]
    state: Option<SchemaCheckState>,
    /// Those that runs of migrations pass by, or the others.
    is_blocking: Option<bool>,
    /// That of this tenant; where it shares a schema, the shared one.
    #[param(value_type = Option<String>)]
    tenant_id: Option<TenantId>,
    limit: Option<i64>,
    cursor: Option<String>,
}

/// List what was seen of schemas the last time: object by object, what is missing, additional or changed, and how to repair it.
#[utoipa::path(get, path = "/v1/schema-checks", tag = "migrations", params(ChecksQuery),
    responses((status = 200, body = Listing<SchemaCheck>), Problems))]
pub(crate) async fn list_schema_checks(
    _: PlatformAdmin,
    context: web::Data<Context>,
    query: ApiQuery<ChecksQuery>,
) -> ApiResult<HttpResponse> {
    let ChecksQuery { sweep_id, state, is_blocking, tenant_id, limit, cursor } = query.0;
    let page = PageQuery { limit, cursor };
    let (limit, after) = (page.limit()?, page.after::<TenantId>()?);
    let after = after.map(|id| id.as_uuid());
    let connection = context.platform.get().await?;
    let schema = match tenant_id {
        None => None,
        Some(id) => Some(fleet::schema_of(&connection, id).await?.ok_or_else(|| Error::not_found("tenant", id))?),
    };
    let filter = store::Filter { sweep: sweep_id, state, is_blocking, schema };
    let checks = store::checks(&connection, filter, after, limit + 1).await?;
    Ok(HttpResponse::Ok().json(Listing::new(checks, limit, |one| TenantId::from_uuid(one.schema_id))))
}

/// Why what differs is meant, and which differences somebody has looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutAcceptance {
    #[schema(example = "an index for their reports, made by hand")]
    reason: String,
    /// The `hash` of each, as the schema's check lists them. Where they are not those that were seen last, nothing is accepted.
    differences: Vec<String>,
}

/// Say that what differs in a tenant's schema is meant, so that runs come to it again. Whatever else differs blocks it, also
/// where an accepted object has changed. Where tenants share a schema, it is accepted for all of them.
#[utoipa::path(put, path = "/v1/tenants/{ten}/schema-acceptance", tag = "migrations", request_body = PutAcceptance,
    params(("ten" = String, Path, description = "The tenant's id.")), responses((status = 200, body = Acceptance), Problems))]
pub(crate) async fn put_schema_acceptance(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<TenantId>,
    body: ApiJson<PutAcceptance>,
) -> ApiResult<HttpResponse> {
    let PutAcceptance { reason, differences } = body.0;
    Ok(HttpResponse::Ok().json(accept::put(&context, &admin.0, id.0, &reason, &differences).await?))
}

/// Accept nothing of a tenant's schema any more: what differs blocks it again.
#[utoipa::path(delete, path = "/v1/tenants/{ten}/schema-acceptance", tag = "migrations",
    params(("ten" = String, Path, description = "The tenant's id.")), responses((status = 204), Problems))]
pub(crate) async fn delete_schema_acceptance(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<TenantId>,
) -> ApiResult<HttpResponse> {
    accept::remove(&context, &admin.0, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
