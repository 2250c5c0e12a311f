//! The tenant's tables, its right to use them, and the row that says whose they are.

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident, quote_literal};
use rowhouse_domain::{Isolation, TenantId};
use rowhouse_migrations::{Error as MigrationError, Options, unobserved};
use rowhouse_problem::{Error, Result};

use super::{PUBLIC, Place, Site, mark, verify};
use crate::clusters::{ClusterLink, Kept};
use crate::context::Context;
use crate::fleet::birth_version;
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
    // One simple query is one transaction, to whose end the lock is held.
    let granted = format!(
        "{ONE_AT_A_TIME}; grant connect on database {} to {}",
        quote_ident(&site.place.database),
        quote_ident(&site.place.role)
    );
    inside.run(&granted).await.context("granting access to a group database")
}

/// The schema is at the version that tenants are born at now, the login may use it, and it is marked as this tenant's.
pub(super) async fn ensure(site: &Site<'_>) -> Result<()> {
    let mut inside = site.link.open_in(site.context, &site.place.database, &site.place.schema).await?;
    let wanted = birth_version(site.context, &site.context.platform.get().await?).await?;
    if site.tenant.isolation == Isolation::Schema {
        bring_to(site.context, &mut inside, wanted).await?;
    }
    let mut version = fill(&inside, site).await?;
    if site.tenant.isolation == Isolation::Shared {
        // What it is at concerns all who are in it: runs bring it on, and back, and leave it where it is held. One may have
        // done so since it was read.
        return store::share_schema_version(&site.context.platform.get().await?, site.tenant.id).await;
    }
    if version != i64::from(wanted) {
        // Its template is of an older release, or a run has begun since it was made.
        version = i64::from(bring_to(site.context, &mut inside, wanted).await?);
    }
    let version = i32::try_from(version).map_err(Error::internal)?;
    store::set_schema_version(&site.context.platform.get().await?, site.tenant.id, version).await
}

/// Brings a schema that nobody uses yet on to a version, or back to it, and says which it has. Where there is no way back it
/// stays where it is.
pub(crate) async fn bring_to(context: &Context, inside: &mut AdminConnection, version: u32) -> Result<u32> {
    let (migrations, client) = (&context.tenant_migrations, inside.client());
    let options = Options { target: Some(version), ..Options::default() };
    let report = rowhouse_migrations::run(client, migrations, &options, &unobserved).await;
    let mut reached = report.map_err(Error::unavailable)?.version.unwrap_or(0);
    if reached > version {
        match rowhouse_migrations::undo_to(client, migrations, version, &options, &unobserved).await {
            Ok(report) => reached = report.version.unwrap_or(0),
            Err(MigrationError::Irreversible { .. }) => {}
            Err(error) => return Err(Error::unavailable(error)),
        }
    }
    Ok(reached)
}

const LOOK: &str = "
    select (select max(version)::bigint from refinery_schema_history) as version,
        exists (select from tenant_identity where tenant_id <> $1) as has_others";

/// Rights on what all schemas of a database use are one row of its catalog: two who change it at once are both told so
/// (XX000, "tuple concurrently updated"), and one of them loses.
pub(crate) const ONE_AT_A_TIME: &str = "select pg_advisory_xact_lock(hashtextextended('rowhouse.grants', 0))";

/// Lets the login in and says whose schema it is, unless it is marked as another tenant's. Gives its version.
async fn fill(inside: &AdminConnection, site: &Site<'_>) -> Result<i64> {
    let is_shared = site.tenant.isolation == Isolation::Shared;
    let mut filled = identify(site.tenant.id, site.tenant.isolation, site.place.generation);
    if !is_shared {
        filled = format!("{}; {filled}", usage(&site.place.schema, &site.place.role));
    }
    inside.run(&format!("begin; {ONE_AT_A_TIME}; {filled}")).await.context("marking a tenant's schema")?;
    let rows = inside.query(LOOK, &[&site.tenant.id]).await.context("reading a tenant's mark")?;
    let row = rows.first().ok_or_else(|| Error::internal("no answer from a tenant's schema"))?;
    if row.column::<bool>("has_others")? && !is_shared {
        // Without a commit nothing was done.
        return Err(Error::internal("the schema is marked as another tenant's"));
    }
    let version: Option<i64> = row.column("version")?;
    inside.run("commit").await.context("marking a tenant's schema")?;
    Ok(version.unwrap_or(0))
}

/// Fills a database of the stock, whose login has its name, and looks at it through that login; then closes both.
pub(crate) async fn finish_stock(
    context: &Context,
    link: &ClusterLink,
    admin: &Kept,
    tenant: TenantId,
    (name, version): (&str, i32),
) -> Result<()> {
    let place = Place {
        cluster: link.id(),
        group: None,
        database: name.to_owned(),
        schema: PUBLIC.to_owned(),
        role: name.to_owned(),
        // What a tenant's first place has.
        generation: 1,
        credential_version: 1,
    };
    let quoted = quote_ident(name);
    let allow = |word: &str| {
        format!("begin; set local role rowhouse_owner; alter database {quoted} allow_connections {word}; commit")
    };
    admin.run(&allow("true")).await.context("opening a stock database")?;
    {
        let inside = as_owner(context, link, name).await?;
        inside.run("set search_path = public, extensions, pg_temp").await.context("setting the search path")?;
        let filled = format!("{}; {}", usage(PUBLIC, name), identify(tenant, Isolation::Dedicated, place.generation));
        inside.run(&filled).await.context("filling a stock database")?;
        let rows = inside.query(LOOK, &[&tenant]).await.context("looking at a stock database")?;
        let found = rows.first().map(|row| row.column::<Option<i64>>("version")).transpose()?.flatten();
        if found != Some(i64::from(version)) {
            return Err(Error::internal(format!("a clone of the template of {version} has version {found:?}")));
        }
    }
    let mark = mark(tenant);
    let expected = verify::Expected { tenant, isolation: Isolation::Dedicated, place: &place, mark: &mark };
    verify::look_from_outside(admin, &expected).await?;
    {
        let password = context.tenant_password(tenant, place.credential_version);
        let door = link.log_in_as(context, name, name, password).await?;
        verify::look_from_inside(&door, &expected).await?;
    }
    admin.run(&allow("false")).await.context("closing a stock database")?;
    admin.run(&format!("alter role {quoted} nologin")).await.context("shutting a stock login")
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
