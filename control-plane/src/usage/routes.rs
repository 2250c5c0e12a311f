//! Reading usage.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::{Timestamp, ToSpan};
use rowhouse_problem::{Error, Result};
use rowhouse_web::{ApiQuery, ApiResult, Step, UsageBucket, UsageFormat};
use serde::Deserialize;
use utoipa::IntoParams;

use super::model::OrganizationUsage;
use super::store;
use crate::authentication::OrganizationAccess;
use crate::context::Context;
use crate::input;
use crate::problems::Problems;

/// The period.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    /// Where it begins (RFC 3339; also `from`); 30 days before its end, unless given.
    #[serde(alias = "from")]
    since: Option<String>,
    /// Where it ends (RFC 3339; also `to`); now, unless given.
    #[serde(alias = "to")]
    until: Option<String>,
    /// What was used over time, in steps of so long.
    #[param(inline)]
    bucket: Option<Step>,
    /// `csv` for a table of the buckets alone; so does `Accept: text/csv`.
    #[param(inline)]
    format: Option<UsageFormat>,
}

impl UsageQuery {
    fn period(&self, now: Timestamp) -> Result<(Timestamp, Timestamp)> {
        let until = input::time("until", self.until.as_deref())?.unwrap_or(now);
        let since = match input::time("since", self.since.as_deref())? {
            Some(since) => since,
            None => until.saturating_sub((30 * 24).hours()).map_err(Error::internal)?,
        };
        if since < until { Ok((since, until)) } else { Err(Error::invalid_field("since", "must be before `until`")) }
    }
}

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
    let accepted = request.headers().get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wants_table = match query.0.format {
        Some(format) => format == UsageFormat::Csv,
        None => accepted.contains("text/csv"),
    };
    let step = query.0.bucket.or(wants_table.then_some(Step::Day));
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
