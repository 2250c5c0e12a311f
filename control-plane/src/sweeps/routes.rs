//! HTTP in and out for comparing schemas with their templates.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use rowhouse_domain::{SchemaCheckState, SweepId, TenantId};
use rowhouse_problem::Error;
use rowhouse_web::{ApiJson, ApiPath, ApiQuery, ApiResult, IdempotencyKey, Listing, PageQuery};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::model::{SchemaCheck, Sweep};
use super::{begin, store};
use crate::authentication::PlatformAdmin;
use crate::context::Context;
use crate::fleet::Where;
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
    /// `same`, `different` or `unreadable`; all, unless given.
    #[param(value_type = Option<String>)]
    state: Option<SchemaCheckState>,
    /// Those that runs of migrations pass by, or the others.
    is_blocking: Option<bool>,
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
    let ChecksQuery { sweep_id, state, is_blocking, limit, cursor } = query.0;
    let page = PageQuery { limit, cursor };
    let (limit, after) = (page.limit()?, page.after::<TenantId>()?);
    let after = after.map(|id| id.as_uuid());
    let connection = context.platform.get().await?;
    let checks = store::checks(&connection, sweep_id, state, is_blocking, after, limit + 1).await?;
    Ok(HttpResponse::Ok().json(Listing::new(checks, limit, |one| TenantId::from_uuid(one.schema_id))))
}
