//! Nothing is opened on trust: what was made is looked at through the tenant's own door.

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident};
use rowhouse_domain::{Isolation, TenantId};
use rowhouse_problem::{Error, Result};

use super::{Place, Site};
use crate::groups;

/// What must hold of the login and of the database as a whole, each with its name for the log. Any connection to the cluster
/// can tell.
const CLUSTER_FACTS: &str = "
    select fact, holds from (
        select 'nothing is granted to PUBLIC on the database' as fact, not exists (
            select from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) grants
            where datname = $2::text::name and grants.grantee = 0) as holds
        union all
        select 'the database is open and marked', exists (
            select from pg_database
            where datname = $2::text::name and datallowconn and shobj_description(oid, 'pg_database') = $3)
        union all
        select 'only the owner, the control plane and the login may connect', $4 or not exists (
            select from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) grants
            where datname = $2::text::name
                and grants.grantee not in (datdba, $1::text::regrole, 'rowhouse_control'::regrole))
        union all
        select 'the login has no attribute beyond LOGIN', exists (
            select from pg_roles where oid = $1::text::regrole and rolcanlogin and rolinherit and not rolsuper
                and not rolcreatedb and not rolcreaterole and not rolreplication and not rolbypassrls)
        union all
        select 'the login is a member of tenant_app and of nothing else', array['tenant_app'::regrole::oid] = array(
            select roleid from pg_auth_members where member = $1::text::regrole)
        union all
        select 'the login is pinned as it should be', array(
                select unnest(setconfig) from pg_db_role_setting
                where setrole = $1::text::regrole
                    and setdatabase = (select oid from pg_database where datname = $2::text::name)) @> $5
    ) facts
    where holds is not true";
/// What must hold inside the database, as the login sees it: the catalogs can be read by everybody.
const INSIDE: &str = "
    select current_database()::text as database, current_user::text as role, current_schema()::text as schema,
        coalesce(current_setting('app.tenant_id', true), '') as pin,
        array(select tenant_id from tenant_identity) as tenants,
        current_setting('search_path') as search_path,
        not exists (
            select from pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) grants
            where nspname = $1::text::name and grants.grantee = 0) as is_closed,
        not exists (
            select from pg_namespace
            where (starts_with(nspname::text, 'tenant_') or nspname = 'public') and nspname <> $1::text
                and has_schema_privilege(oid, 'usage')) as is_alone,
        has_schema_privilege($1::text, 'create') or exists (
            select from pg_class where pg_get_userbyid(relowner) = current_user) as may_create";

/// What is looked for.
pub(super) struct Expected<'a> {
    pub(super) tenant: TenantId,
    pub(super) isolation: Isolation,
    pub(super) place: &'a Place,
    pub(super) mark: &'a str,
}

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

/// The login and the database are as they should be, as far as the cluster's catalogs tell.
pub(super) async fn look_from_outside(admin: &AdminConnection, expected: &Expected<'_>) -> Result<()> {
    let place = expected.place;
    let in_group = place.group.is_some();
    // What belongs to a group is marked as the group's.
    let mark = match place.group {
        Some(group) => groups::mark(group),
        None => expected.mark.to_owned(),
    };
    let mut settings = vec![format!("search_path={}, extensions, pg_temp", place.schema)];
    if expected.isolation != Isolation::Shared {
        settings.push(format!("app.tenant_id={}", expected.tenant.as_uuid()));
    }
    let role = quote_ident(&place.role);
    let broken = admin
        .query(CLUSTER_FACTS, &[&role, &place.database, &mark, &in_group, &settings])
        .await
        .context("verifying a login and its database")?;
    let Some(row) = broken.first() else { return Ok(()) };
    let fact: String = row.column("fact")?;
    Err(Error::internal(format!("does not hold: {fact}")))
}

/// The login finds itself where it belongs, sees one tenant, and may do no more than it should.
pub(super) async fn look_from_inside(door: &AdminConnection, expected: &Expected<'_>) -> Result<()> {
    let (place, pin) = (expected.place, expected.tenant.as_uuid().to_string());
    if expected.isolation == Isolation::Shared {
        // As each transaction of the data plane does. A UUID's text needs no quoting.
        let pinned = format!("begin; select set_config('app.tenant_id', '{pin}', true)");
        door.run(&pinned).await.context("pinning a transaction")?;
    }
    let rows = door.query(INSIDE, &[&place.schema]).await.context("asking a tenant's login who it is")?;
    let row = rows.first().ok_or_else(|| Error::internal("no answer to who the login is"))?;
    let path = format!("{}, extensions, pg_temp", place.schema);
    let expectations = [
        ("database", &place.database),
        ("role", &place.role),
        ("schema", &place.schema),
        ("pin", &pin),
        ("search_path", &path),
    ];
    for (column, wanted) in expectations {
        let found: String = row.column(column)?;
        if found != *wanted {
            return Err(Error::internal(format!("the login's {column} is {found:?} where {wanted:?} was expected")));
        }
    }
    for (column, wanted) in [("is_closed", true), ("is_alone", true), ("may_create", false)] {
        if row.column::<bool>(column)? != wanted {
            return Err(Error::internal(format!("the schema's rights are not as they should be: {column}")));
        }
    }
    let tenants: Vec<TenantId> = row.column("tenants")?;
    if tenants != [expected.tenant] {
        return Err(Error::internal(format!("the login sees the tenants {tenants:?}")));
    }
    Ok(())
}

/// Both looks.
pub(super) async fn ensure(site: &Site<'_>, door: Option<AdminConnection>) -> Result<()> {
    let mark = site.mark();
    let inside = async {
        let door = match door {
            Some(door) => door,
            None => open_door(site).await?,
        };
        look_from_inside(&door, &expected(site, &mark)).await
    };
    let (outside, inside) = tokio::join!(from_outside(site), inside);
    outside.and(inside)
}

/// The look from outside alone: for a database of the stock, which was looked into before it was closed and has changed
/// nothing but its names since.
pub(super) async fn from_outside(site: &Site<'_>) -> Result<()> {
    let admin = site.context.administer_cluster(site.link).await?;
    look_from_outside(&admin, &expected(site, &site.mark())).await?;
    admin.give_back();
    Ok(())
}

fn expected<'a>(site: &Site<'a>, mark: &'a str) -> Expected<'a> {
    Expected { tenant: site.tenant.id, isolation: site.tenant.isolation, place: site.place, mark }
}
