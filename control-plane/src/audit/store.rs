//! Platform table `audit_logs`. Owns its SQL; decides nothing.

use std::net::IpAddr;

use jiff::Timestamp;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{ActorKind, AuditId, KeyId, OrganizationId, TenantId, UserId};
use rowhouse_problem::Result;
use tokio_postgres::Row;
use uuid::Uuid;

use super::model::{AuditRow, Change, Requester};

const APPEND: &str = "
    insert into audit_logs (id, actor_kind, actor_id, organization_id, tenant_id, action, resource_type, resource_id,
        before, after, ip, user_agent, request_id)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// Writes down a change in the transaction that makes it.
pub(crate) async fn append(tx: &impl Sql, requester: &Requester, change: &Change) -> Result<()> {
    let parts = change.parts();
    tx.execute(
        APPEND,
        &[
            &AuditId::new(),
            &requester.actor.kind,
            &requester.actor.id,
            &parts.organization,
            &parts.tenant,
            &parts.action,
            &parts.resource_type,
            &parts.resource_id,
            &parts.before,
            &parts.after,
            &requester.ip,
            &requester.user_agent,
            &requester.request_id,
        ],
    )
    .await
    .context("appending to the audit log")
    .map(drop)
}

/// Which rows are wanted; every field narrows.
pub(super) struct Filter {
    pub(super) organization: Option<OrganizationId>,
    pub(super) tenant: Option<TenantId>,
    pub(super) actor: Option<Uuid>,
    pub(super) action: Option<String>,
    pub(super) resource_type: Option<String>,
    pub(super) resource_id: Option<Uuid>,
    pub(super) outcome: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    pub(super) before: Option<(Timestamp, AuditId)>,
}

const LIST: &str = "
    select id, timestamp, actor_kind, actor_id, organization_id, tenant_id, action, resource_type, resource_id,
        outcome::text as outcome, before, after, ip, user_agent, request_id, session_id, risk_score, compliance_flags, details
    from audit_logs
    where ($1::uuid is null or organization_id = $1)
        and ($2::uuid is null or tenant_id = $2)
        and ($3::uuid is null or actor_id = $3)
        and ($4::text is null or action = $4)
        and ($5::text is null or resource_type = $5)
        and ($6::uuid is null or resource_id = $6)
        and ($7::text is null or outcome::text = $7)
        and ($8::text is null or request_id = $8)
        and ($9::timestamptz is null or timestamp >= $9)
        and ($10::timestamptz is null or timestamp < $10)
        and ($11::timestamptz is null or (timestamp, id) < ($11, $12::uuid))
    order by timestamp desc, id desc limit $13";

/// The newest rows first.
pub(super) async fn list(db: &impl Sql, filter: &Filter, limit: i64) -> Result<Vec<AuditRow>> {
    let (before, before_id) = filter.before.unzip();
    let rows = db
        .query(
            LIST,
            &[
                &filter.organization,
                &filter.tenant,
                &filter.actor,
                &filter.action,
                &filter.resource_type,
                &filter.resource_id,
                &filter.outcome,
                &filter.request_id,
                &filter.since,
                &filter.until,
                &before,
                &before_id,
                &limit,
            ],
        )
        .await
        .context("listing the audit log")?;
    rows.iter().map(from_row).collect()
}

fn from_row(row: &Row) -> Result<AuditRow> {
    let kind: ActorKind = row.column("actor_kind")?;
    let actor: Option<Uuid> = row.column("actor_id")?;
    Ok(AuditRow {
        id: row.column("id")?,
        timestamp: row.column("timestamp")?,
        actor_kind: kind,
        actor_id: actor.map(|id| actor_text(kind, id)),
        organization_id: row.column("organization_id")?,
        tenant_id: row.column("tenant_id")?,
        action: row.column("action")?,
        resource_type: row.column("resource_type")?,
        resource_id: row.column("resource_id")?,
        outcome: row.column("outcome")?,
        before: row.column("before")?,
        after: row.column("after")?,
        ip: row.column::<Option<IpAddr>>("ip")?.map(|ip| ip.to_string()),
        user_agent: row.column("user_agent")?,
        request_id: row.column("request_id")?,
        session_id: row.column("session_id")?,
        risk_score: row.column("risk_score")?,
        compliance_flags: row.column("compliance_flags")?,
        details: row.column("details")?,
    })
}

/// An actor's id in the form that the API knows it by.
fn actor_text(kind: ActorKind, id: Uuid) -> String {
    match kind {
        ActorKind::PlatformKey | ActorKind::OrganizationKey | ActorKind::TenantKey => KeyId::from_uuid(id).to_string(),
        ActorKind::User => UserId::from_uuid(id).to_string(),
        ActorKind::System | ActorKind::Anonymous => id.to_string(),
    }
}
