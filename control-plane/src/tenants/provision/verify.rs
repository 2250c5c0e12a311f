//! Nothing is opened on trust: what was made is looked at through the tenant's own door.

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident};
use rowhouse_domain::{Isolation, TenantId};
use rowhouse_problem::{Error, Result};

use super::Site;
use crate::groups;

/// What must hold of the database and the login, each with its name for the log.
const FACTS: &str = "
    select fact, holds from (
        select 'nothing is granted to PUBLIC on the database' as fact, not exists (
            select from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) grants
            where datname = current_database() and grants.grantee = 0) as holds
        union all
        select 'nothing is granted to PUBLIC on the schema', not exists (
            select from pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) grants
            where nspname = $2::text::name and grants.grantee = 0)
        union all
        select 'the login may use no other tenant''s schema', not exists (
            select from pg_namespace
            where (starts_with(nspname::text, 'tenant_') or nspname = 'public') and nspname <> $2::text
                and has_schema_privilege($1::text::regrole, oid, 'usage'))
        union all
        select 'only the owner, the control plane and the login may connect', $3 or not exists (
            select from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) grants
            where datname = current_database()
                and grants.grantee not in (datdba, $1::text::regrole, 'rowhouse_control'::regrole))
        union all
        select 'the login has no attribute beyond LOGIN', exists (
            select from pg_roles where oid = $1::text::regrole and rolcanlogin and rolinherit and not rolsuper
                and not rolcreatedb and not rolcreaterole and not rolreplication and not rolbypassrls)
        union all
        select 'the login is a member of tenant_app and of nothing else', array['tenant_app'::regrole::oid] = array(
            select roleid from pg_auth_members where member = $1::text::regrole)
        union all
        select 'the login may not create anything in the schema',
            not has_schema_privilege($1::text::regrole, $2::text, 'create')
        union all
        select 'the login owns nothing', not exists (
            select from pg_class where relowner = $1::text::regrole)
    ) facts
    where holds is not true";

const WHO_AM_I: &str = "
    select current_database()::text as database, current_user::text as role, current_schema()::text as schema,
        coalesce(current_setting('app.tenant_id', true), '') as pin,
        array(select tenant_id from tenant_identity) as tenants,
        current_setting('search_path') as search_path";

/// A connection of the login that the tenant will be served through.
pub(super) async fn open_door(site: &Site<'_>) -> Result<AdminConnection> {
    let (context, place) = (site.context, site.place);
    let password = match place.group.filter(|_| site.tenant.isolation == Isolation::Shared) {
        Some(group) => {
            let group = groups::store::find(&context.platform.get().await?, group).await?;
            context.master.group_database_password(group.id, group.credential_version)
        }
        None => context.tenant_password(site.tenant.id, place.credential_version),
    };
    site.link.log_in_as(context, &place.database, &place.role, password).await
}

/// The database is closed to everybody else, and the login finds itself where it belongs and sees one tenant.
pub(super) async fn ensure(site: &Site<'_>, door: &AdminConnection) -> Result<()> {
    let (place, id) = (site.place, site.tenant.id);
    let pin = id.as_uuid().to_string();
    if site.tenant.isolation == Isolation::Shared {
        // As each transaction of the data plane does. A UUID's text needs no quoting.
        let pinned = format!("begin; select set_config('app.tenant_id', '{pin}', true)");
        door.run(&pinned).await.context("pinning a transaction")?;
    }
    // The catalogs can be read by everybody.
    let in_group = place.group.is_some();
    let role = quote_ident(&place.role);
    let broken = door.query(FACTS, &[&role, &place.schema, &in_group]).await.context("verifying a database")?;
    if let Some(row) = broken.first() {
        let fact: String = row.column("fact")?;
        return Err(Error::internal(format!("does not hold: {fact}")));
    }
    let rows = door.query(WHO_AM_I, &[]).await.context("asking a tenant's login who it is")?;
    let row = rows.first().ok_or_else(|| Error::internal("no answer to who the login is"))?;
    let path = format!("{}, extensions, pg_temp", place.schema);
    let expectations = [
        ("database", &place.database),
        ("role", &place.role),
        ("schema", &place.schema),
        ("pin", &pin),
        ("search_path", &path),
    ];
    for (column, expected) in expectations {
        let found: String = row.column(column)?;
        if found != *expected {
            return Err(Error::internal(format!("the login's {column} is {found:?} where {expected:?} was expected")));
        }
    }
    let tenants: Vec<TenantId> = row.column("tenants")?;
    if tenants != [id] {
        return Err(Error::internal(format!("the login sees the tenants {tenants:?}")));
    }
    Ok(())
}
