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

use super::finding::{Finding, Repair};
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
                findings.push(Finding::left_out(None, organization.to_string()));
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
        let figures = figures(context, accounts, &before).await?;
        if before == charged(context, links, &members, accounts).await? {
            let (mut expected, mut shares) = (BTreeMap::new(), BTreeMap::new());
            for (tenant, there) in before {
                for (account, bytes) in there.counted_so_far(&figures.counted).accounts {
                    *expected.entry(account).or_default() += bytes;
                    shares.insert((account, tenant), bytes);
                }
            }
            let mut findings = storage::compare_accounts(None, &figures.used, &expected);
            findings.extend(compare_shares(figures.shares, shares));
            return Ok(findings);
        }
        tokio::time::sleep(PAUSE).await;
    }
    tracing::info!(org.id = %organization, "an organization is too busy to have its accounts counted");
    Ok(vec![Finding::left_out(None, organization.to_string())])
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
    with share as (
        select account_id, tenant_id, used_storage from account_shares where account_id = any($1)
        order by account_id, tenant_id)
    select coalesce((select jsonb_object_agg(id, used_storage) from accounts where id = any($1)), '{}') as accounts,
        array(
            select log.id from unnest($2::uuid[], $3::uuid[], $4::timestamptz[]) queued (tenant, id, at)
            join tenant_usage_logs log
                on log.tenant_id = queued.tenant and log.timestamp = queued.at and log.id = queued.id) as counted,
        array(select account_id from share) as accounts_of_shares, array(select tenant_id from share) as tenants_of_shares,
        array(select used_storage from share) as shares";

/// Bytes by account and tenant.
type Shares = BTreeMap<(AccountId, TenantId), i64>;

/// What `saas_platform` says, in one moment.
struct Figures {
    used: BTreeMap<AccountId, i64>,
    shares: Shares,
    /// Queued events that these have counted.
    counted: Vec<Uuid>,
}

async fn figures(context: &Context, accounts: &[AccountId], charged: &BTreeMap<TenantId, There>) -> Result<Figures> {
    let queued = || charged.iter().flat_map(|(tenant, there)| there.events.iter().map(move |event| (tenant, event)));
    let tenants: Vec<TenantId> = queued().map(|(tenant, _)| *tenant).collect();
    let ids: Vec<Uuid> = queued().map(|(_, (id, _))| *id).collect();
    let times: Vec<Timestamp> = queued().map(|(_, (_, event))| event.at).collect();
    let platform = context.platform.get().await?;
    let row = platform.query_one(FIGURES, &[&accounts, &tenants, &ids, &times]).await;
    let row = row.context("reading accounts' figures")?;
    let (of, by): (Vec<AccountId>, Vec<TenantId>) =
        (row.column("accounts_of_shares")?, row.column("tenants_of_shares")?);
    let bytes: Vec<i64> = row.column("shares")?;
    Ok(Figures {
        used: storage::by_account(&row.column("accounts")?),
        shares: of.into_iter().zip(by).zip(bytes).collect(),
        counted: row.column("counted")?,
    })
}

/// Compares what each tenant is said to have charged, which its purge would take off, with what it has.
fn compare_shares(said: Shares, charged: Shares) -> Vec<Finding> {
    let mut both: BTreeMap<_, (i64, i64)> = said.into_iter().map(|(key, bytes)| (key, (bytes, 0))).collect();
    for (key, bytes) in charged {
        both.entry(key).or_default().1 = bytes;
    }
    let different = both.into_iter().filter(|(_, (said, charged))| said != charged);
    different
        .map(|((account, tenant), (said, charged))| {
            let detail = format!("The tenant's share of it is said to be {said} bytes; it has charged {charged}.");
            let repair = Repair::AccountShare { account, tenant, change: charged - said };
            let finding = Finding::new("account.share", None, format!("{account} {tenant}"), detail);
            finding.fixed_by("correct the share", repair)
        })
        .collect()
}

const CORRECT: &str = "
    insert into account_shares as share (account_id, tenant_id, used_storage) values ($1, $2, $3)
    on conflict (account_id, tenant_id) do update set used_storage = share.used_storage + excluded.used_storage";

/// Corrects a share by what it was wrong by.
pub(super) async fn correct(context: &Context, account: AccountId, tenant: TenantId, change: i64) -> Result<()> {
    let connection = context.platform.get().await?;
    connection.execute(CORRECT, &[&account, &tenant, &change]).await.context("correcting a tenant's share")?;
    Ok(())
}
