//! Sets a difference right. What fails is logged and stays a difference.

use rowhouse_database::{Described, Sql};
use rowhouse_domain::OrganizationId;
use rowhouse_problem::{Error, Result};
use serde_json::json;

use super::finding::{Finding, Repair};
use super::{accounts, storage};
use crate::audit::{self, Change, Requester};
use crate::clusters::{self, ClusterLink};
use crate::context::Context;
use crate::operations::{self, Kind, Work};

const SET_VERSION: &str = "update tenants set schema_version = $2 where id = $1";
// The tenants are read by the group's row, so that this one is locked first, as by whoever joins the group.
const SET_GROUP_VERSION: &str = "
    with shared as (update group_databases set schema_version = $2 where id = $1 returning id)
    update tenants set schema_version = $2 from shared
    where group_id = shared.id and isolation = 'shared' and tenants.schema_version <> $2";
// Under the organization's lock, which everybody takes who makes or removes a workspace.
pub(super) const RECOUNT: &str = "
    update organizations set used_workspaces = (
        select coalesce(sum(used_workspaces), 0) from tenants where organization_id = $1 and deleted_at is null)
    where id = $1";

/// Repairs one difference, if it may be, and says so in it.
pub(super) async fn apply(context: &Context, work: &Work, finding: &mut Finding) {
    let Some(repair) = finding.repair.clone() else { return };
    match carry_out(context, finding, &repair).await {
        Ok(()) => {
            finding.fixed = true;
            tracing::info!(check = finding.check, subject = finding.subject, "repaired");
            if let Err(error) = note(context, work, finding).await {
                tracing::warn!(error = error.chain(), "a repair could not be recorded");
            }
        }
        Err(error) => {
            tracing::warn!(check = finding.check, error = error.chain(), "a difference could not be repaired")
        }
    }
}

async fn carry_out(context: &Context, finding: &Finding, repair: &Repair) -> Result<()> {
    match repair {
        Repair::AsControl(sql) => {
            let admin = context.administer_cluster(&link(context, finding).await?).await?;
            admin.run(sql).await.context("repairing a login")?;
            admin.give_back();
        }
        Repair::AsOwner(sql) => {
            let admin = context.administer_cluster(&link(context, finding).await?).await?;
            let whole = format!("begin; set local role rowhouse_owner; {sql}; commit");
            admin.run(&whole).await.context("repairing a database")?;
            admin.give_back();
        }
        Repair::AsOwnerAlone(sql) => {
            let admin = context.administer_cluster(&link(context, finding).await?).await?;
            admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
            admin.run(sql).await.context("dropping what nobody needs")?;
        }
        Repair::Inside { database, sql } => {
            let inside = link(context, finding).await?.open(context, database).await?;
            inside.run("set role rowhouse_owner").await.context("becoming the owner")?;
            inside.run(sql).await.context("repairing a schema")?;
        }
        Repair::SchemaVersion { tenant, version } => {
            let connection = context.platform.get().await?;
            connection.execute(SET_VERSION, &[tenant, version]).await.context("recording a version")?;
        }
        Repair::GroupVersion { group, version } => {
            let connection = context.platform.get().await?;
            connection.execute(SET_GROUP_VERSION, &[group, version]).await.context("recording a version")?;
        }
        Repair::Recount { organization } => recount(context, *organization).await?,
        Repair::Storage { organization } => storage::count_again(context, *organization).await?,
        Repair::TenantStorage { tenant, change } => storage::correct_tenant(context, *tenant, *change).await?,
        Repair::TenantWorkspaces { tenant, change } => {
            storage::correct_workspaces(context, *tenant, *change).await?;
        }
        Repair::AccountStorage { account, change } => storage::correct_account(context, *account, *change).await?,
        Repair::AccountShare { account, tenant, change } => {
            accounts::correct(context, *account, *tenant, *change).await?;
        }
        Repair::Requeue { tenant, organization } => {
            let mut connection = context.platform.get().await?;
            let tx = connection.transaction().await?;
            let requester = Requester::SYSTEM;
            operations::store::enqueue(&tx, Kind::TenantProvision, *tenant, *organization, &requester).await?;
            tx.commit().await?;
            context.pulse.wake();
        }
    }
    Ok(())
}

async fn recount(context: &Context, organization: OrganizationId) -> Result<()> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    crate::organizations::store::lock(&tx, organization).await?;
    tx.execute(RECOUNT, &[&organization]).await.context("counting workspaces again")?;
    tx.commit().await
}

async fn link(context: &Context, finding: &Finding) -> Result<ClusterLink> {
    let links = clusters::all_links(&context.platform.get().await?).await?;
    let link = links.into_iter().find(|link| Some(&link.name) == finding.cluster.as_ref());
    link.ok_or_else(|| Error::internal("the cluster was removed meanwhile"))
}

/// Adds the repair to the audit log.
async fn note(context: &Context, work: &Work, finding: &Finding) -> Result<()> {
    let connection = context.platform.get().await?;
    let what =
        json!({"check": finding.check, "cluster": finding.cluster, "subject": finding.subject, "fix": finding.fix});
    let change = Change::new("operation.repair", work.claimed.id.as_uuid()).after(&what);
    audit::append(&connection, &Requester::SYSTEM, &change).await
}
