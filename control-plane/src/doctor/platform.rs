//! What `saas_platform` says that can't be, whatever the clusters have.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{OrganizationId, TenantId};
use rowhouse_problem::Result;

use super::finding::{Finding, Repair};
use super::storage;

const STUCK: &str = "
    select id, organization_id from tenants
    where status = 'provisioning' and updated_at < now() - interval '10 seconds' and not exists (
        select from operations where subject_id = tenants.id and state in ('queued', 'running'))";
const ABANDONED: &str = "
    select id from operations where state = 'running' and locked_until < now() - interval '1 minute'";
// The organization's count leaves deleted tenants out.
const MISCOUNTED: &str = "
    select organization.id, organization.used_workspaces as counted, coalesce(sum(tenant.used_workspaces), 0)::bigint as found
    from organizations organization
    left join tenants tenant on tenant.organization_id = organization.id and tenant.deleted_at is null
    group by organization.id
    having organization.used_workspaces <> coalesce(sum(tenant.used_workspaces), 0)";

/// Looks at the rows alone.
pub(super) async fn look(db: &impl Sql) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for row in &db.query(STUCK, &[]).await.context("looking for stuck tenants")? {
        let (tenant, organization): (TenantId, OrganizationId) = (row.column("id")?, row.column("organization_id")?);
        let detail = "It is being made, and no operation makes it.";
        let finding = Finding::new("tenant.stuck", None, tenant.to_string(), detail);
        findings.push(finding.fixed_by("begin again", Repair::Requeue { tenant, organization }));
    }
    for row in &db.query(ABANDONED, &[]).await.context("looking for abandoned operations")? {
        let id: rowhouse_domain::OperationId = row.column("id")?;
        let detail = "Whoever worked on it has not been heard of for a minute, and nobody took over. Is a control plane running?";
        findings.push(Finding::new("operation.abandoned", None, id.to_string(), detail));
    }
    for row in &db.query(MISCOUNTED, &[]).await.context("counting workspaces")? {
        let organization: OrganizationId = row.column("id")?;
        let (counted, found): (i32, i64) = (row.column("counted")?, row.column("found")?);
        let detail = format!("It counts {counted} workspaces; its tenants have {found}.");
        let finding = Finding::new("organization.workspaces", None, organization.to_string(), detail);
        findings.push(finding.fixed_by("count again", Repair::Recount { organization }));
    }
    findings.extend(storage::look_at_rows(db).await?);
    Ok(findings)
}
