//! Reading usage.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use rowhouse_web::{ApiQuery, ApiResult, Step, UsageBucket, UsageQuery};

use super::model::OrganizationUsage;
use super::store;
use crate::authentication::OrganizationAccess;
use crate::context::Context;
use crate::problems::Problems;

/// Read an organization's usage.
#[utoipa::path(get, path = "/v1/organizations/{org}/usage", tag = "usage",
    params(("org" = String, Path, description = "The organization's id."), UsageQuery),
    responses((status = 200, body = OrganizationUsage), Problems))]
pub(crate) async fn get_organization_usage(
    access: OrganizationAccess,
    context: web::Data<Context>,
    request: HttpRequest,
    query: ApiQuery<UsageQuery>,
) -> ApiResult<HttpResponse> {
    let (since, until) = query.0.period(Timestamp::now())?;
    let wants_table = query.0.wants_table(&request);
    let step = query.0.step().or(wants_table.then_some(Step::Day));
    if let Some(step) = step {
        step.check(since, until)?;
    }
    let organization = access.organization;
    let connection = context.platform.get().await?;
    let buckets = match step {
        Some(step) => Some(store::buckets(&connection, organization.id, since, until, step).await?),
        None => None,
    };
    if let Some(buckets) = buckets.as_ref().filter(|_| wants_table) {
        return Ok(HttpResponse::Ok().content_type("text/csv; charset=utf-8").body(UsageBucket::csv(buckets)?));
    }
    Ok(HttpResponse::Ok().json(OrganizationUsage {
        organization_id: organization.id,
        since,
        until,
        storage_quota: organization.storage_quota,
        used_storage: organization.used_storage,
        reserved_storage: organization.reserved_storage,
        buckets,
        totals: store::totals(&connection, organization.id, since, until).await?,
        tenants: store::tenants(&connection, organization.id).await?,
    }))
}
