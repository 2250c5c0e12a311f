//! What organizations' own accounts say is charged to them, against a recount over all tenants of the organization.
//!
//! Keys of several tenants may charge such an account, so its figure is compared in a moment in which nothing that is charged to
//! the organization's accounts happens in any of them. Organizations that are never quiet for so long are left out, and so are
//! those with a tenant that can't be looked into: nobody knows what it has charged.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rowhouse_database::{Columns, Described, Sql, quote_ident};
use rowhouse_domain::{AccountId, ClusterId, OrganizationId, TenantId};
use rowhouse_problem::{Error, Result};
use uuid::Uuid;

use super::finding::Finding;
use super::storage::{self, PAUSE, TRIES, There};
use crate::clusters::ClusterLink;
use crate::context::Context;

/// A tenant of an organization, and where its data is.
struct Member {
    id: TenantId,
    cluster: ClusterId,
    database: String,
    schema: String,
}

const ORGANIZATIONS: &str = "
    select organization_id, array_agg(id) as accounts from accounts
    where tenant_id is null and organization_id is not null group by organization_id order by organization_id";

/// Compares the own accounts of each organization.
pub(super) async fn look(context: &Context, links: &[ClusterLink]) -> Result<Vec<Finding>> {
    let platform = context.platform.get().await?;
    let organizations = platform.query(ORGANIZATIONS, &[]).await.context("listing organizations' accounts")?;
    drop(platform);
    let mut findings = Vec::new();
    for row in &organizations {
        let organization: OrganizationId = row.column("organization_id")?;
        let accounts: Vec<AccountId> = row.column("accounts")?;
        match look_at(context, links, organization, &accounts).await {
            Ok(found) => findings.extend(found),
            Err(error) => {
                let error = error.chain();
                tracing::info!(org.id = %organization, error, "what is charged to its accounts can't be counted");
            }
        }
    }
    Ok(findings)
}

async fn look_at(
    context: &Context,
    links: &[ClusterLink],
    organization: OrganizationId,
    accounts: &[AccountId],
) -> Result<Vec<Finding>> {
    let members = members(context, organization).await?;
    for _ in 0..TRIES {
        let before = charged(context, links, &members, accounts).await?;
        let (used, counted) = figures(context, accounts, &before).await?;
        if before == charged(context, links, &members, accounts).await? {
            let mut expected = BTreeMap::new();
            for there in before.into_values() {
                for (account, bytes) in there.counted_so_far(&counted).accounts {
                    *expected.entry(account).or_default() += bytes;
                }
            }
            return Ok(storage::compare_accounts(None, &used, &expected));
        }
        tokio::time::sleep(PAUSE).await;
    }
    tracing::info!(org.id = %organization, "an organization is too busy to have its accounts counted");
    Ok(Vec::new())
}

// One whose making failed has never held anything.
const MEMBERS: &str = "
    select tenant.id, cluster_id, database_name, schema_name,
        tenant.status = 'provisioning' or purge_begun_at is not null or exists (
            select from operations where subject_id = tenant.id and state in ('queued', 'running')) as is_changing
    from tenants tenant
    where organization_id = $1 and tenant.status not in ('purged', 'failed') and database_name is not null order by tenant.id";

/// The tenants of an organization that have data.
async fn members(context: &Context, organization: OrganizationId) -> Result<Vec<Member>> {
    let platform = context.platform.get().await?;
    let rows = platform.query(MEMBERS, &[&organization]).await.context("listing an organization's tenants")?;
    rows.iter()
        .map(|row| {
            let id = row.column("id")?;
            if row.column("is_changing")? {
                return Err(Error::unavailable(format!("something happens to the tenant {id}")));
            }
            let (database, schema) = (row.column("database_name")?, row.column("schema_name")?);
            Ok(Member { id, cluster: row.column("cluster_id")?, database, schema })
        })
        .collect()
}

/// What each tenant has charged to these accounts.
async fn charged(
    context: &Context,
    links: &[ClusterLink],
    members: &[Member],
    accounts: &[AccountId],
) -> Result<BTreeMap<TenantId, There>> {
    let mut charged = BTreeMap::new();
    for member in members {
        let link = links.iter().find(|link| link.id() == member.cluster);
        let link = link.ok_or_else(|| Error::internal("the cluster was removed meanwhile"))?;
        let inside = link.open(context, &member.database).await?;
        inside.run("set role rowhouse_owner").await.context("becoming the owner")?;
        let there = storage::there(&inside, member.id, &quote_ident(&member.schema)).await?;
        charged.insert(member.id, there.of(accounts));
    }
    Ok(charged)
}

const FIGURES: &str = "
    select coalesce((select jsonb_object_agg(id, used_storage) from accounts where id = any($1)), '{}') as accounts,
        array(
            select log.id from unnest($2::uuid[], $3::uuid[], $4::timestamptz[]) queued (tenant, id, at)
            join tenant_usage_logs log
                on log.tenant_id = queued.tenant and log.timestamp = queued.at and log.id = queued.id) as counted";

/// The accounts' figures, and which of the queued events they have counted.
async fn figures(
    context: &Context,
    accounts: &[AccountId],
    charged: &BTreeMap<TenantId, There>,
) -> Result<(BTreeMap<AccountId, i64>, Vec<Uuid>)> {
    let queued = || charged.iter().flat_map(|(tenant, there)| there.events.iter().map(move |event| (tenant, event)));
    let tenants: Vec<TenantId> = queued().map(|(tenant, _)| *tenant).collect();
    let ids: Vec<Uuid> = queued().map(|(_, (id, _))| *id).collect();
    let times: Vec<Timestamp> = queued().map(|(_, (_, event))| event.at).collect();
    let platform = context.platform.get().await?;
    let row = platform.query_one(FIGURES, &[&accounts, &tenants, &ids, &times]).await;
    let row = row.context("reading accounts' figures")?;
    Ok((storage::by_account(&row.column("accounts")?), row.column("counted")?))
}
