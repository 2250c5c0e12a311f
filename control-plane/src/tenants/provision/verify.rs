//! Nothing is opened on trust: what was made is looked at, as its owner and through the tenant's own door.

use rowhouse_database::{Columns, Described};
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};

use super::Site;

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
        select 'only the owner, the control plane and the login may connect', not exists (
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
    select current_database()::text as database, current_user::text as role,
        coalesce(current_setting('app.tenant_id', true), '') as pin,
        array(select tenant_id from tenant_identity) as tenants,
        current_setting('search_path') as search_path";

/// The database is closed to everybody else, and the login finds itself where it belongs.
pub(super) async fn ensure(site: &Site<'_>) -> Result<()> {
    let context = &site.work.context;
    let admin = context.administer_database(&site.cluster, &site.place.database).await?;
    let role = rowhouse_database::quote_ident(&site.place.role);
    let broken = admin.query(FACTS, &[&role, &site.place.schema]).await.context("verifying a database")?;
    if let Some(row) = broken.first() {
        let fact: String = row.column("fact")?;
        return Err(Error::internal(format!("does not hold: {fact}")));
    }
    log_in(site).await
}

async fn log_in(site: &Site<'_>) -> Result<()> {
    let context = &site.work.context;
    let password = context.tenant_password(site.tenant.id, site.place.credential_version);
    let login = context.log_in_as(&site.cluster, &site.place.database, &site.place.role, password).await?;
    let rows = login.query(WHO_AM_I, &[]).await.context("asking a tenant's login who it is")?;
    let row = rows.first().ok_or_else(|| Error::internal("no answer to who the login is"))?;
    let pin = site.tenant.id.as_uuid().to_string();
    let path = format!("{}, extensions, pg_temp", site.place.schema);
    let place = &site.place;
    let expectations = [("database", &place.database), ("role", &place.role), ("pin", &pin), ("search_path", &path)];
    for (column, expected) in expectations {
        let found: String = row.column(column)?;
        if found != *expected {
            return Err(Error::internal(format!("the login's {column} is {found:?} where {expected:?} was expected")));
        }
    }
    let tenants: Vec<TenantId> = row.column("tenants")?;
    if tenants != [site.tenant.id] {
        return Err(Error::internal(format!("the login sees the tenants {tenants:?}")));
    }
    Ok(())
}
