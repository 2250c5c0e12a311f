//! Reading usage.

use actix_web::{HttpResponse, web};
use jiff::{Timestamp, ToSpan};
use rowhouse_problem::{Error, Result};
use rowhouse_web::{ApiQuery, ApiResult};
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
    /// Where it begins (RFC 3339); 30 days before its end, unless given.
    since: Option<String>,
    /// Where it ends (RFC 3339); now, unless given.
    until: Option<String>,
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
    query: ApiQuery<UsageQuery>,
) -> ApiResult<HttpResponse> {
    let (since, until) = query.0.period(Timestamp::now())?;
    let organization = access.organization;
    let connection = context.platform.get().await?;
    Ok(HttpResponse::Ok().json(OrganizationUsage {
        organization_id: organization.id,
        since,
        until,
        storage_quota: organization.storage_quota,
        used_storage: organization.used_storage,
        reserved_storage: organization.reserved_storage,
        totals: store::totals(&connection, organization.id, since, until).await?,
        tenants: store::tenants(&connection, organization.id).await?,
    }))
}
