//! The tenant's tables, its right to use them, and the row that says whose they are.

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident, quote_literal};
use rowhouse_domain::{Isolation, TenantId};
use rowhouse_migrations::{Options, Set};
use rowhouse_problem::{Error, Result};

use super::{PUBLIC, Site};
use crate::clusters::ClusterLink;
use crate::context::Context;
use crate::tenants::store;

const FIND: &str = "
    select pg_get_userbyid(nspowner)::text as owner, coalesce(obj_description(oid, 'pg_namespace'), '') as comment
    from pg_namespace where nspname = $1::text::name";

/// A schema of the tenant's own exists in its group's database, and its login may connect there.
pub(super) async fn create(site: &Site<'_>) -> Result<()> {
    let inside = as_owner(site.context, site.link, &site.place.database).await?;
    let (schema, mark) = (quote_ident(&site.place.schema), site.mark());
    let rows = inside.query(FIND, &[&site.place.schema]).await.context("looking for a schema")?;
    match rows.first() {
        // One simple query is one transaction: no schema without its mark.
        None => {
            let made = format!("create schema {schema}; comment on schema {schema} is {}", quote_literal(&mark));
            inside.run(&made).await.context("creating a schema")?;
        }
        Some(row) => {
            let (owner, comment): (String, String) = (row.column("owner")?, row.column("comment")?);
            if owner != super::OWNER || comment != mark {
                return Err(Error::internal(format!("the schema {:?} belongs to somebody else", site.place.schema)));
            }
        }
    }
    let granted =
        format!("grant connect on database {} to {}", quote_ident(&site.place.database), quote_ident(&site.place.role));
    inside.run(&granted).await.context("granting access to a group database")
}

/// The schema is the newest, the login may use it, and it is marked as this tenant's.
pub(super) async fn ensure(site: &Site<'_>) -> Result<()> {
    let mut inside = as_owner(site.context, site.link, &site.place.database).await?;
    let id = site.tenant.id;
    let path = format!("set search_path = {}, extensions, pg_temp", quote_ident(&site.place.schema));
    inside.run(&path).await.context("setting the search path")?;
    let others_allowed = site.tenant.isolation == Isolation::Shared;
    if !others_allowed {
        refuse_another_tenants(&inside, id).await?;
    }
    let version = match site.tenant.isolation {
        // Cloned from the template, or its group's: an old one is the fleet's to migrate, not a tenant's.
        Isolation::Dedicated | Isolation::Shared => newest_version(&mut inside).await?,
        Isolation::Schema => {
            let report = rowhouse_migrations::run(inside.client(), Set::Tenant, &Options::default()).await;
            report.map_err(Error::unavailable)?.version
        }
    };
    let mut filled = identify(id, site.tenant.isolation, site.place.generation);
    if !others_allowed {
        filled = format!("{}; {filled}", usage(&site.place.schema, &site.place.role));
    }
    inside.run(&filled).await.context("marking a tenant's schema")?;
    let version = version.and_then(|version| i32::try_from(version).ok()).unwrap_or(0);
    store::set_schema_version(&site.context.platform.get().await?, id, version).await
}

/// The version that the schema has; brought to the newest where the template was of an older release.
async fn newest_version(inside: &mut AdminConnection) -> Result<Option<u32>> {
    let found = rowhouse_migrations::current_version(inside.client()).await.map_err(Error::unavailable)?;
    if found == Some(Set::Tenant.latest()) {
        return Ok(found);
    }
    let report = rowhouse_migrations::run(inside.client(), Set::Tenant, &Options::default()).await;
    Ok(report.map_err(Error::unavailable)?.version)
}

/// Fills a database of the stock, whose login has its name, and closes it again.
pub(crate) async fn open_and_close(
    context: &Context,
    link: &ClusterLink,
    database: &str,
    role: &str,
    tenant: TenantId,
) -> Result<()> {
    let admin = context.administer_cluster(link).await?;
    let allow = |word: &str| {
        let database = quote_ident(database);
        format!("begin; set local role rowhouse_owner; alter database {database} allow_connections {word}; commit")
    };
    admin.run(&allow("true")).await.context("opening a stock database")?;
    {
        let mut inside = as_owner(context, link, database).await?;
        inside.run("set search_path = public, extensions, pg_temp").await.context("setting the search path")?;
        let found = rowhouse_migrations::current_version(inside.client()).await.map_err(Error::unavailable)?;
        if found != Some(Set::Tenant.latest()) {
            return Err(Error::internal(format!("a clone of the template has version {found:?}")));
        }
        // A tenant's first place has generation 1.
        let filled = format!("{}; {}", usage(PUBLIC, role), identify(tenant, Isolation::Dedicated, 1));
        inside.run(&filled).await.context("filling a stock database")?;
    }
    admin.run(&allow("false")).await.context("closing a stock database")?;
    admin.give_back();
    Ok(())
}

async fn as_owner(context: &Context, link: &ClusterLink, database: &str) -> Result<AdminConnection> {
    let inside = link.open(context, database).await?;
    inside.run("set role rowhouse_owner").await.context("becoming the owner")?;
    Ok(inside)
}

/// Lets one login into a schema, and nobody else.
fn usage(schema: &str, role: &str) -> String {
    let (schema, role) = (quote_ident(schema), quote_ident(role));
    format!(
        "revoke all on schema {schema} from public;
        grant usage on schema {schema} to {role};
        grant usage on schema extensions to {role}"
    )
}

/// Says whose schema it is; the owner is not bound by row-level security, but rows take their tenant from the pin.
fn identify(tenant: TenantId, isolation: Isolation, generation: i64) -> String {
    format!(
        "insert into tenant_identity (tenant_id, isolation, generation)
        values ({tenant}, {isolation}, {generation}) on conflict do nothing",
        tenant = quote_literal(&tenant.as_uuid().to_string()),
        isolation = quote_literal(isolation.as_str()),
    )
}

/// A schema that already says whose it is must say that it is ours.
async fn refuse_another_tenants(inside: &AdminConnection, tenant: TenantId) -> Result<()> {
    let rows = inside
        .query("select to_regclass('tenant_identity') is not null as is_made", &[])
        .await
        .context("looking for a tenant's mark")?;
    let is_made: bool = rows.first().map_or(Ok(false), |row| row.column("is_made"))?;
    if !is_made {
        return Ok(());
    }
    let others = inside
        .query("select tenant_id from tenant_identity where tenant_id <> $1", &[&tenant])
        .await
        .context("reading a tenant's mark")?;
    if others.is_empty() { Ok(()) } else { Err(Error::internal("the schema is marked as another tenant's")) }
}
