//! Reading the audit log.

use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use rowhouse_domain::{AuditId, OrganizationId, TenantId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ApiQuery, ApiResult, Listing, PageQuery};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::model::AuditRow;
use super::store::{self, Filter};
use crate::authentication::PlatformAdmin;
use crate::context::Context;
use crate::input;
use crate::problems::Problems;

/// Which rows are wanted. Ids and times are read by hand, so that a bad one is answered as elsewhere.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditQuery {
    /// Rows that concern this organization.
    organization_id: Option<String>,
    /// Rows that concern this tenant.
    tenant_id: Option<String>,
    /// What this key or person did: its id.
    actor_id: Option<String>,
    /// Rows of this action, `tenant.create` for one.
    action: Option<String>,
    /// What was done to this kind of thing.
    resource_type: Option<String>,
    /// What was done to this thing: its id.
    resource_id: Option<String>,
    /// `success`, `failure` or `denied`.
    outcome: Option<String>,
    /// What this request did.
    request_id: Option<String>,
    /// Not before this time (RFC 3339).
    since: Option<String>,
    /// Before this time (RFC 3339).
    until: Option<String>,
    /// Most items to answer with, 1 to 200 (default 50).
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl AuditQuery {
    fn read(self) -> Result<(Filter, i64)> {
        let page = PageQuery { limit: self.limit, cursor: self.cursor };
        let filter = Filter {
            organization: self.organization_id.as_deref().map(id::<OrganizationId>).transpose()?,
            tenant: self.tenant_id.as_deref().map(id::<TenantId>).transpose()?,
            actor: self.actor_id.as_deref().map(any_id).transpose()?,
            action: input::filter("action", self.action)?,
            resource_type: input::filter("resource_type", self.resource_type)?,
            resource_id: self.resource_id.as_deref().map(any_id).transpose()?,
            outcome: input::filter("outcome", self.outcome)?,
            request_id: input::filter("request_id", self.request_id)?,
            since: input::time("since", self.since.as_deref())?,
            until: input::time("until", self.until.as_deref())?,
            before: page.after()?.map(place).transpose()?,
        };
        Ok((filter, page.limit()?))
    }
}

/// A cursor's time may be any that `jiff` can read, and PostgreSQL holds fewer.
fn place((time, id): (Timestamp, AuditId)) -> Result<(Timestamp, AuditId)> {
    let unusable =
        |_| Error::new(Code::MalformedCursor, "Use `next_cursor` of an earlier answer of the same list, unchanged.");
    Ok((input::moment(time).map_err(unusable)?, id))
}

fn id<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::new(Code::MalformedId, "A parameter of the query is no id of the wanted kind."))
}

/// An id of any kind, or a bare UUID: what the prefix says is the caller's matter.
fn any_id(text: &str) -> Result<Uuid> {
    let bare = || text.parse::<Uuid>().ok();
    let typed = || {
        let (prefix, rest) = text.split_once('_')?;
        let known = rowhouse_domain::PREFIXES.contains(&prefix);
        // Every kind has the same form after its prefix.
        known
            .then(|| format!("{}_{rest}", OrganizationId::PREFIX).parse::<OrganizationId>().ok())?
            .map(|id| id.as_uuid())
    };
    bare().or_else(typed).ok_or_else(|| Error::new(Code::MalformedId, "A parameter of the query is no id."))
}

/// List the audit log, newest first.
#[utoipa::path(get, path = "/v1/audit-logs", tag = "audit", params(AuditQuery),
    responses((status = 200, body = Listing<AuditRow>), Problems))]
pub(crate) async fn list_audit_logs(
    _: PlatformAdmin,
    context: web::Data<Context>,
    query: ApiQuery<AuditQuery>,
) -> ApiResult<HttpResponse> {
    let (filter, limit) = query.0.read()?;
    let connection = context.platform.get().await?;
    let rows = store::list(&connection, &filter, limit + 1).await?;
    Ok(HttpResponse::Ok().json(Listing::new(rows, limit, |row| (row.timestamp, row.id))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_every_kind_are_understood() {
        let tenant = TenantId::new();
        assert_eq!(any_id(&tenant.to_string()).unwrap(), tenant.as_uuid());
        assert_eq!(any_id(&tenant.as_uuid().to_string()).unwrap(), tenant.as_uuid());
        for text in ["", "ten_", "nonsense_00000000000000000000000000", "\0"] {
            assert_eq!(any_id(text).unwrap_err().code(), Code::MalformedId, "{text:?}");
        }
    }
}
