//! What rows say is stored, at every level, and how many workspaces a tenant is said to have, against a recount of what is there.
//!
//! A tenant's figure lies in `saas_platform` and what it counts in the tenant's own data. They are compared in a moment in which
//! nothing happens to the tenant: what is there and what is still to be counted is read before and after the figure, and must be
//! the same. A tenant that is never quiet for so long is left out, and named as such.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use rowhouse_database::{AdminConnection, Columns, Described, Sql, quote_ident};
use rowhouse_domain::{AccountId, OrganizationId, TenantId, WorkspaceId};
use rowhouse_problem::{Error, Result};
use serde_json::Value;
use uuid::Uuid;

use super::finding::{Finding, Repair};
use super::repair::RECOUNT;
use super::store::Recorded;
use crate::context::Context;
use crate::organizations;

/// How often a quiet moment is looked for, and how long between.
pub(super) const TRIES: usize = 5;
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// What a tenant's data says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct There {
    stored: i64,
    workspaces: i64,
    pub(super) accounts: BTreeMap<AccountId, i64>,
    /// Events that are queued; some may have been counted already.
    pub(super) events: BTreeMap<Uuid, Event>,
}

impl There {
    /// What of it concerns certain accounts.
    pub(super) fn of(mut self, accounts: &[AccountId]) -> Self {
        (self.stored, self.workspaces) = (0, 0);
        self.accounts.retain(|account, _| accounts.contains(account));
        self.events.retain(|_, event| event.account.is_some_and(|account| accounts.contains(&account)));
        self
    }

    /// What figures should be that have counted these of the events.
    pub(super) fn counted_so_far(mut self, counted: &[Uuid]) -> Self {
        for (id, event) in std::mem::take(&mut self.events) {
            if counted.contains(&id) {
                continue;
            }
            if event.is_of_workspaces {
                self.workspaces -= event.quantity;
            } else {
                self.stored -= event.quantity;
                if let Some(account) = event.account {
                    *self.accounts.entry(account).or_default() -= event.quantity;
                }
            }
        }
        self
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: Timestamp,
    quantity: i64,
    /// Else of bytes.
    is_of_workspaces: bool,
    account: Option<AccountId>,
}

/// What `saas_platform` says.
struct Figures {
    used: i64,
    workspaces: i64,
    accounts: BTreeMap<AccountId, i64>,
}

/// Compares a tenant's figures, its accounts' and its workspaces' with what is there.
pub(super) async fn look(
    context: &Context,
    inside: &AdminConnection,
    cluster: &str,
    tenant: &Recorded,
) -> Result<Vec<Finding>> {
    let mut findings = workspaces(inside, cluster, tenant).await?;
    let Some((expected, figures)) = quiet_moment(context, inside, tenant).await? else {
        findings.push(Finding::left_out(Some(cluster), tenant.id.to_string()));
        return Ok(findings);
    };
    if figures.used != expected.stored {
        let detail = format!("Its row says that it uses {} bytes; it has {}.", figures.used, expected.stored);
        let repair = Repair::TenantStorage { tenant: tenant.id, change: expected.stored - figures.used };
        let finding = Finding::new("tenant.storage", Some(cluster), tenant.id.to_string(), detail);
        findings.push(finding.fixed_by("correct the row, and count the organization's again", repair));
    }
    if figures.workspaces != expected.workspaces {
        let (counted, there) = (figures.workspaces, expected.workspaces);
        let detail = format!("Its row says that it has {counted} workspaces; it has {there}.");
        let repair = Repair::TenantWorkspaces { tenant: tenant.id, change: there - counted };
        let finding = Finding::new("tenant.workspaces", Some(cluster), tenant.id.to_string(), detail);
        findings.push(finding.fixed_by("correct the row, and count the organization's again", repair));
    }
    findings.extend(compare_accounts(Some(cluster), &figures.accounts, &expected.accounts));
    Ok(findings)
}

/// Compares what accounts' rows say with what is charged to them.
pub(super) fn compare_accounts(
    cluster: Option<&str>,
    figures: &BTreeMap<AccountId, i64>,
    charged: &BTreeMap<AccountId, i64>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (account, used) in figures {
        let stored = charged.get(account).copied().unwrap_or(0);
        if *used != stored {
            let detail = format!("Its row says that it uses {used} bytes; {stored} are charged to it.");
            let repair = Repair::AccountStorage { account: *account, change: stored - used };
            let finding = Finding::new("account.storage", cluster, account.to_string(), detail);
            findings.push(finding.fixed_by("correct the row", repair));
        }
    }
    findings
}

/// One statement, so one moment.
async fn workspaces(inside: &AdminConnection, cluster: &str, tenant: &Recorded) -> Result<Vec<Finding>> {
    let schema = quote_ident(&tenant.schema);
    let stored = format!(
        "select coalesce(sum(version.size), 0)::bigint from {schema}.files file
         join {schema}.file_versions version on version.tenant_id = file.tenant_id and version.file_id = file.id
         where file.tenant_id = workspace.tenant_id and file.workspace_id = workspace.id"
    );
    let added = format!(
        "select coalesce(sum(bytes), 0)::bigint from {schema}.workspace_counters counter
         where counter.tenant_id = workspace.tenant_id and counter.workspace_id = workspace.id"
    );
    let sql = format!(
        "select id, used_storage + added as used_storage, stored from {schema}.workspaces workspace
         cross join lateral ({added}) counter (added) cross join lateral ({stored}) counted (stored)
         where tenant_id = $1 and used_storage + added <> stored order by id"
    );
    let rows = inside.query(&sql, &[&tenant.id]).await.context("counting what workspaces hold")?;
    rows.iter()
        .map(|row| {
            let id: WorkspaceId = row.column("id")?;
            let (used, stored_now): (i64, i64) = (row.column("used_storage")?, row.column("stored")?);
            let row = format!("tenant_id = '{}' and id = '{}'", tenant.id.as_uuid(), id.as_uuid());
            // Locked first, with whoever is adding: what waits for a lock sees nothing that came meanwhile.
            let counters = format!("tenant_id = '{}' and workspace_id = '{}'", tenant.id.as_uuid(), id.as_uuid());
            let sql = format!(
                "begin; select from {schema}.workspaces where {row} for no key update;
                 delete from {schema}.workspace_counters where {counters};
                 update {schema}.workspaces workspace set used_storage = ({stored}) where {row}; commit"
            );
            let detail = format!("It is counted with {used} bytes; it holds {stored_now}.");
            let finding = Finding::new("workspace.storage", Some(cluster), id.to_string(), detail);
            Ok(finding.fixed_by("count again", Repair::Inside { database: tenant.database.clone(), sql }))
        })
        .collect()
}

/// What the figures should be, and what they are, where that can be told.
async fn quiet_moment(
    context: &Context,
    inside: &AdminConnection,
    tenant: &Recorded,
) -> Result<Option<(There, Figures)>> {
    let schema = quote_ident(&tenant.schema);
    let mut before = there(inside, tenant.id, &schema).await?;
    for _ in 0..TRIES {
        let (figures, counted) = figures(context, tenant.id, &before).await?;
        let after = there(inside, tenant.id, &schema).await?;
        if before == after {
            return Ok(Some((after.counted_so_far(&counted), figures)));
        }
        tokio::time::sleep(PAUSE).await;
        before = there(inside, tenant.id, &schema).await?;
    }
    tracing::info!(tenant.id = %tenant.id, "a tenant is too busy to have its storage counted");
    Ok(None)
}

/// What a tenant's data says now; `schema` is its name, quoted.
pub(super) async fn there(inside: &AdminConnection, tenant: TenantId, schema: &str) -> Result<There> {
    let sql = format!(
        "select coalesce((select sum(size) from {schema}.file_versions where tenant_id = $1), 0)::bigint as stored,
            (select count(*) from {schema}.workspaces where tenant_id = $1 and deleted_at is null) as workspaces,
            coalesce((select jsonb_object_agg(account_id, bytes) from (
                select account_id, sum(size) as bytes from {schema}.file_versions
                where tenant_id = $1 and account_id is not null group by account_id) charged), '{{}}') as accounts,
            array(select id from queued) as ids, array(select created_at from queued) as times,
            array(select payload from queued) as payloads
         from (select 1) one"
    );
    let queued = format!(
        "with queued as (
             select id, created_at, payload from {schema}.jobs
             where tenant_id = $1 and kind = 'usage' and payload->>'event_type' in ('storage', 'workspaces') order by id)
         {sql}"
    );
    let rows = inside.query(&queued, &[&tenant]).await.context("counting what a tenant holds")?;
    let row = rows.first().ok_or_else(|| Error::internal("a count has a row"))?;
    let (ids, times): (Vec<Uuid>, Vec<Timestamp>) = (row.column("ids")?, row.column("times")?);
    let payloads: Vec<Value> = row.column("payloads")?;
    let events = ids.into_iter().zip(times).zip(payloads).map(|((id, at), payload)| {
        let account = payload["account_id"].as_str().and_then(|text| text.parse().ok());
        let is_of_workspaces = payload["event_type"] == "workspaces";
        (id, Event { at, quantity: payload["quantity"].as_i64().unwrap_or(0), is_of_workspaces, account })
    });
    Ok(There {
        stored: row.column("stored")?,
        workspaces: row.column("workspaces")?,
        accounts: by_account(&row.column("accounts")?),
        events: events.collect(),
    })
}

// Those that are about to be made are counted with their reservations, before there is an event.
const FIGURES: &str = "
    select used_storage, used_workspaces - (
            select coalesce(sum(workspaces), 0) from quota_reservations where tenant_id = $1) as workspaces, coalesce((
            select jsonb_object_agg(id, accounts.used_storage) from accounts where tenant_id = $1), '{}') as accounts,
        array(
            select log.id from unnest($2::uuid[], $3::timestamptz[]) queued (id, at)
            join tenant_usage_logs log on log.tenant_id = $1 and log.timestamp = queued.at and log.id = queued.id) as counted
    from tenants where id = $1";

/// The figures, and which of the queued events they have counted.
async fn figures(context: &Context, tenant: TenantId, there: &There) -> Result<(Figures, Vec<Uuid>)> {
    let ids: Vec<Uuid> = there.events.keys().copied().collect();
    let times: Vec<Timestamp> = there.events.values().map(|event| event.at).collect();
    let platform = context.platform.get().await?;
    let row = platform.query_one(FIGURES, &[&tenant, &ids, &times]).await.context("reading a tenant's figures")?;
    let (used, workspaces) = (row.column("used_storage")?, row.column("workspaces")?);
    let figures = Figures { used, workspaces, accounts: by_account(&row.column("accounts")?) };
    Ok((figures, row.column("counted")?))
}

/// Numbers by the ids of accounts.
pub(super) fn by_account(object: &Value) -> BTreeMap<AccountId, i64> {
    let members = object.as_object().into_iter().flatten();
    members.filter_map(|(id, bytes)| Some((AccountId::from_uuid(id.parse().ok()?), bytes.as_i64()?))).collect()
}

// Those that were purged are out of their organization's count, whatever their rows say.
const ORGANIZATIONS: &str = "
    select organization.id, organization.used_storage as counted, coalesce(sum(tenant.used_storage), 0)::bigint as found
    from organizations organization
    left join tenants tenant on tenant.organization_id = organization.id and tenant.status <> 'purged'
    group by organization.id
    having organization.used_storage <> coalesce(sum(tenant.used_storage), 0)";
const RESERVED: &str = "
    select 'organization' as level, id, id as organization_id, reserved_storage as counted, held
    from organizations cross join lateral (
        select coalesce(sum(bytes), 0)::bigint as held from quota_reservations where organization_id = organizations.id) of_it
    where reserved_storage <> held
    union all
    select 'tenant', id, organization_id, reserved_storage, held from tenants cross join lateral (
        select coalesce(sum(bytes), 0)::bigint as held from quota_reservations where tenant_id = tenants.id) of_it
    where reserved_storage <> held
    union all
    select 'account', account.id, coalesce(account.organization_id, tenant.organization_id), account.reserved_storage, held
    from accounts account left join tenants tenant on tenant.id = account.tenant_id
    cross join lateral (
        select coalesce(sum(bytes), 0)::bigint as held from quota_reservations where account_id = account.id) of_it
    where account.reserved_storage <> held and coalesce(account.organization_id, tenant.organization_id) is not null";

/// Compares organizations with their tenants, and what is reserved with the reservations.
pub(super) async fn look_at_rows(db: &impl Sql) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for row in &db.query(ORGANIZATIONS, &[]).await.context("adding up what tenants use")? {
        let organization: OrganizationId = row.column("id")?;
        let (counted, found): (i64, i64) = (row.column("counted")?, row.column("found")?);
        let detail = format!("Its row says that it uses {counted} bytes; its tenants use {found}.");
        let finding = Finding::new("organization.storage", None, organization.to_string(), detail);
        findings.push(finding.fixed_by("count again", Repair::Storage { organization }));
    }
    for row in &db.query(RESERVED, &[]).await.context("adding up what is reserved")? {
        let (level, id): (String, Uuid) = (row.column("level")?, row.column("id")?);
        let (organization, counted, held): (OrganizationId, i64, i64) =
            (row.column("organization_id")?, row.column("counted")?, row.column("held")?);
        let detail = format!("Its row says that {counted} bytes are reserved; its reservations come to {held}.");
        let (check, subject) = match level.as_str() {
            "organization" => ("organization.reserved", organization.to_string()),
            "account" => ("account.reserved", AccountId::from_uuid(id).to_string()),
            _ => ("tenant.reserved", TenantId::from_uuid(id).to_string()),
        };
        let finding = Finding::new(check, None, subject, detail);
        findings.push(finding.fixed_by("count again", Repair::Storage { organization }));
    }
    Ok(findings)
}

const CORRECT_TENANT: &str = "
    update tenants set used_storage = greatest(0, used_storage + $2) where id = $1 returning organization_id";
const CORRECT_WORKSPACES: &str = "
    update tenants set used_workspaces = greatest(0, used_workspaces + $2) where id = $1";
const CORRECT_ACCOUNT: &str = "update accounts set used_storage = greatest(0, used_storage + $2) where id = $1";
const ORGANIZATION_OF: &str = "select organization_id from tenants where id = $1";
const COUNT_TENANTS: &str = "
    update tenants set reserved_storage = held from (
        select tenant.id, coalesce(sum(bytes), 0) as held
        from tenants tenant left join quota_reservations on tenant_id = tenant.id
        where tenant.organization_id = $1 group by tenant.id) counted
    where tenants.id = counted.id and reserved_storage <> held";
const COUNT_ACCOUNTS: &str = "
    update accounts set reserved_storage = held from (
        select account.id, coalesce(sum(bytes), 0) as held
        from accounts account left join tenants tenant on tenant.id = account.tenant_id
        left join quota_reservations on account_id = account.id
        where coalesce(account.organization_id, tenant.organization_id) = $1 group by account.id) counted
    where accounts.id = counted.id and reserved_storage <> held";
const COUNT_ORGANIZATION: &str = "
    update organizations set
        used_storage = (
            select coalesce(sum(used_storage), 0) from tenants where organization_id = $1 and status <> 'purged'),
        reserved_storage = (select coalesce(sum(bytes), 0) from quota_reservations where organization_id = $1)
    where id = $1";

/// Corrects a tenant's figure by what it was wrong by, which stays right whatever was counted since, and its organization's.
pub(super) async fn correct_tenant(context: &Context, tenant: TenantId, change: i64) -> Result<()> {
    let mut connection = context.platform.get().await?;
    let row = connection.query_one(ORGANIZATION_OF, &[&tenant]).await.context("finding a tenant's organization")?;
    let organization: OrganizationId = row.column("organization_id")?;
    let tx = connection.transaction().await?;
    organizations::store::lock(&tx, organization).await?;
    tx.query_one(CORRECT_TENANT, &[&tenant, &change]).await.context("correcting a tenant's storage")?;
    tx.execute(COUNT_ORGANIZATION, &[&organization]).await.context("counting an organization's storage")?;
    tx.commit().await
}

/// The same for its workspaces.
pub(super) async fn correct_workspaces(context: &Context, tenant: TenantId, change: i64) -> Result<()> {
    let mut connection = context.platform.get().await?;
    let row = connection.query_one(ORGANIZATION_OF, &[&tenant]).await.context("finding a tenant's organization")?;
    let organization: OrganizationId = row.column("organization_id")?;
    let change = i32::try_from(change).map_err(Error::internal)?;
    let tx = connection.transaction().await?;
    organizations::store::lock(&tx, organization).await?;
    tx.execute(CORRECT_WORKSPACES, &[&tenant, &change]).await.context("correcting a tenant's workspaces")?;
    tx.execute(RECOUNT, &[&organization]).await.context("counting workspaces again")?;
    tx.commit().await
}

/// The same for an account.
pub(super) async fn correct_account(context: &Context, account: AccountId, change: i64) -> Result<()> {
    let connection = context.platform.get().await?;
    connection.execute(CORRECT_ACCOUNT, &[&account, &change]).await.context("correcting an account's storage")?;
    Ok(())
}

/// Adds up again what an organization's tenants use, and what is reserved. Everybody who changes any of it takes the
/// organization's lock first.
pub(super) async fn count_again(context: &Context, organization: OrganizationId) -> Result<()> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    organizations::store::lock(&tx, organization).await?;
    tx.execute(COUNT_TENANTS, &[&organization]).await.context("counting what tenants have reserved")?;
    tx.execute(COUNT_ACCOUNTS, &[&organization]).await.context("counting what accounts have reserved")?;
    tx.execute(COUNT_ORGANIZATION, &[&organization]).await.context("counting an organization's storage")?;
    tx.commit().await
}
