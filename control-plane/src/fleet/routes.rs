//! HTTP in and out for migrations of the fleet.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use rowhouse_domain::{
    MigrationDirection, MigrationOrder, MigrationRunId, OrganizationId, SchemaMigrationState, TenantId, TenantType,
};
use rowhouse_problem::Error;
use rowhouse_web::{ApiJson, ApiPath, ApiQuery, ApiResult, IdempotencyKey, Listing, PageQuery};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::begin::{self, Order};
use super::model::{FleetStatus, Hold, Plan, Run, RunSchema};
use super::requests::{StartRun, Where};
use super::{hold, plan, store};
use crate::authentication::PlatformAdmin;
use crate::context::Context;
use crate::problems::Problems;

/// See how many schemas are at each version, which are behind, held back or failed, and what runs are under way.
#[utoipa::path(get, path = "/v1/migrations", tag = "migrations", responses((status = 200, body = FleetStatus), Problems))]
pub(crate) async fn get_fleet_status(_: PlatformAdmin, context: web::Data<Context>) -> ApiResult<HttpResponse> {
    let connection = context.platform.get().await?;
    let versions = store::versions(&connection).await?;
    let newest_version = context.schema_version()?;
    let sum = |count: fn(&super::model::VersionCount) -> i64| versions.iter().map(count).sum();
    let status = FleetStatus {
        newest_version,
        schemas: sum(|one| one.schemas),
        behind: versions.iter().filter(|one| one.version < newest_version).map(|one| one.schemas).sum(),
        held: sum(|one| one.held),
        failed: sum(|one| one.failed),
        blocked: sum(|one| one.blocked),
        accepted: sum(|one| one.accepted),
        runs: store::unfinished(&connection).await?,
        versions,
    };
    Ok(HttpResponse::Ok().json(status))
}

/// The options of a run, as a query, and a page of the schemas that it would be about.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanQuery {
    /// The version to go to; the newest, unless given. Going back needs it.
    to: Option<u32>,
    /// `up` (the default) or `down`.
    #[param(value_type = Option<String>)]
    direction: Option<MigrationDirection>,
    /// Only those of tenants of this type.
    #[serde(rename = "type")]
    #[param(value_type = Option<String>)]
    tenant_type: Option<TenantType>,
    /// Only those on this cluster, by its name or its id.
    cluster: Option<String>,
    /// Only those of this organization's tenants.
    #[param(value_type = Option<String>)]
    organization_id: Option<OrganizationId>,
    /// Only that of this tenant.
    #[param(value_type = Option<String>)]
    tenant_id: Option<TenantId>,
    /// `oldest` (the default), `smallest` or `random`.
    #[param(value_type = Option<String>)]
    order: Option<MigrationOrder>,
    canary: Option<String>,
    soak_seconds: Option<i32>,
    batch: Option<i32>,
    pause_seconds: Option<i32>,
    parallel: Option<i32>,
    max_failures: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

/// See what a run with these options would do now: to which schemas, in which order, with which statements, and what the
/// linter says of them.
#[utoipa::path(get, path = "/v1/migrations/plan", tag = "migrations", params(PlanQuery),
    responses((status = 200, body = Plan), Problems))]
pub(crate) async fn plan_migration_run(
    _: PlatformAdmin,
    context: web::Data<Context>,
    query: ApiQuery<PlanQuery>,
) -> ApiResult<HttpResponse> {
    let query = query.0;
    let page = PageQuery { limit: query.limit, cursor: query.cursor };
    let request = StartRun {
        to: query.to,
        direction: query.direction,
        selection: Where {
            tenant_type: query.tenant_type,
            cluster: query.cluster,
            cluster_id: None,
            organization_id: query.organization_id,
            tenant_id: query.tenant_id,
        },
        order: query.order,
        canary: query.canary,
        soak_seconds: query.soak_seconds,
        batch: query.batch,
        pause_seconds: query.pause_seconds,
        parallel: query.parallel,
        max_failures: query.max_failures,
        ..StartRun::default()
    };
    let offset = page.after::<u32>()?.unwrap_or_default();
    Ok(HttpResponse::Ok().json(plan::plan(&context, &request, page.limit()?, offset.into()).await?))
}

/// Start a run over all schemas, or over some. Workers take part in it from then on. Runs over schemas of different clusters or
/// organizations, or of different tenants, may be under way together; one that may come to a schema of another one is refused.
#[utoipa::path(post, path = "/v1/migration-runs", tag = "migrations", request_body = StartRun,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = Run, headers(("Location" = String))), Problems))]
pub(crate) async fn start_migration_run(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    key: IdempotencyKey,
    body: ApiJson<StartRun>,
) -> ApiResult<HttpResponse> {
    let run = begin::start(&context, &admin.0, &key, &body.0).await?;
    Ok(HttpResponse::Created().insert_header((header::LOCATION, format!("/v1/migration-runs/{}", run.id))).json(run))
}

/// List runs, the newest first.
#[utoipa::path(get, path = "/v1/migration-runs", tag = "migrations", params(PageQuery),
    responses((status = 200, body = Listing<Run>), Problems))]
pub(crate) async fn list_migration_runs(
    _: PlatformAdmin,
    context: web::Data<Context>,
    page: ApiQuery<PageQuery>,
) -> ApiResult<HttpResponse> {
    let (limit, before) = (page.0.limit()?, page.0.after()?);
    let runs = store::list(&context.platform.get().await?, before, limit + 1).await?;
    Ok(HttpResponse::Ok().json(Listing::new(runs, limit, |run| run.id)))
}

/// Read a run: how far it is, and how many schemas are done, failed, and left.
#[utoipa::path(get, path = "/v1/migration-runs/{mig}", tag = "migrations",
    params(("mig" = String, Path, description = "The run's id.")), responses((status = 200, body = Run), Problems))]
pub(crate) async fn get_migration_run(
    _: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<MigrationRunId>,
) -> ApiResult<HttpResponse> {
    let run = store::find(&context.platform.get().await?, id.0).await?;
    Ok(HttpResponse::Ok().json(run.ok_or_else(|| Error::not_found("migration run", id.0))?))
}

/// Which schemas of a run are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchemasQuery {
    /// `running`, `done`, `failed` or `skipped`; all, unless given.
    #[param(value_type = Option<String>)]
    state: Option<SchemaMigrationState>,
    limit: Option<i64>,
    cursor: Option<String>,
}

/// List what a run did with each schema: its migrations with their times, and why it failed.
#[utoipa::path(get, path = "/v1/migration-runs/{mig}/schemas", tag = "migrations",
    params(("mig" = String, Path, description = "The run's id."), SchemasQuery),
    responses((status = 200, body = Listing<RunSchema>), Problems))]
pub(crate) async fn list_migration_run_schemas(
    _: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<MigrationRunId>,
    query: ApiQuery<SchemasQuery>,
) -> ApiResult<HttpResponse> {
    let SchemasQuery { state, limit, cursor } = query.0;
    let page = PageQuery { limit, cursor };
    let (limit, after) = (page.limit()?, page.after::<TenantId>()?);
    let connection = context.platform.get().await?;
    if store::find(&connection, id.0).await?.is_none() {
        return Err(Error::not_found("migration run", id.0).into());
    }
    let after = after.map(|id| id.as_uuid());
    let schemas = store::schemas(&connection, id.0, state, after, limit + 1).await?;
    Ok(HttpResponse::Ok().json(Listing::new(schemas, limit, |one| TenantId::from_uuid(one.schema_id))))
}

/// Let a run begin with no further schema; those that are under way are finished.
#[utoipa::path(post, path = "/v1/migration-runs/{mig}/pause", tag = "migrations",
    params(("mig" = String, Path, description = "The run's id.")), responses((status = 200, body = Run), Problems))]
pub(crate) async fn pause_migration_run(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<MigrationRunId>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Ok().json(begin::tell(&context, &admin.0, id.0, Order::Pause).await?))
}

/// Let a run go on that was paused, or halted by itself; then what failed is tried again.
#[utoipa::path(post, path = "/v1/migration-runs/{mig}/resume", tag = "migrations",
    params(("mig" = String, Path, description = "The run's id.")), responses((status = 200, body = Run), Problems))]
pub(crate) async fn resume_migration_run(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<MigrationRunId>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Ok().json(begin::tell(&context, &admin.0, id.0, Order::Resume).await?))
}

/// End a run for good; schemas that are under way are finished, and none is undone.
#[utoipa::path(post, path = "/v1/migration-runs/{mig}/cancel", tag = "migrations",
    params(("mig" = String, Path, description = "The run's id.")), responses((status = 200, body = Run), Problems))]
pub(crate) async fn cancel_migration_run(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<MigrationRunId>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Ok().json(begin::tell(&context, &admin.0, id.0, Order::Cancel).await?))
}

/// Try again what failed in a run.
#[utoipa::path(post, path = "/v1/migration-runs/{mig}/retry", tag = "migrations",
    params(("mig" = String, Path, description = "The run's id.")), responses((status = 200, body = Run), Problems))]
pub(crate) async fn retry_migration_run(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<MigrationRunId>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Ok().json(begin::tell(&context, &admin.0, id.0, Order::Retry).await?))
}

/// Why a tenant's schema is held back, and how far.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutHold {
    #[schema(example = "their migration window is on Sunday")]
    reason: String,
    /// It is brought up to this one, and no further; it stays where it is, unless given.
    version: Option<u32>,
}

/// Hold a tenant's schema back: runs pass by. Where tenants share a schema, it is held back for all of them.
#[utoipa::path(put, path = "/v1/tenants/{ten}/migration-hold", tag = "migrations", request_body = PutHold,
    params(("ten" = String, Path, description = "The tenant's id.")), responses((status = 200, body = Hold), Problems))]
pub(crate) async fn put_migration_hold(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<TenantId>,
    body: ApiJson<PutHold>,
) -> ApiResult<HttpResponse> {
    let PutHold { reason, version } = body.0;
    Ok(HttpResponse::Ok().json(hold::put(&context, &admin.0, id.0, &reason, version).await?))
}

/// Let a tenant's schema go with the others again.
#[utoipa::path(delete, path = "/v1/tenants/{ten}/migration-hold", tag = "migrations",
    params(("ten" = String, Path, description = "The tenant's id.")), responses((status = 204), Problems))]
pub(crate) async fn delete_migration_hold(
    admin: PlatformAdmin,
    context: web::Data<Context>,
    id: ApiPath<TenantId>,
) -> ApiResult<HttpResponse> {
    hold::remove(&context, &admin.0, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
