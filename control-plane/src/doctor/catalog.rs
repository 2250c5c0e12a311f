//! What a cluster's catalogs say, read in a handful of queries.

use std::collections::HashMap;

use rowhouse_database::{AdminConnection, Columns, Described};
use rowhouse_problem::Result;

/// A database as the cluster has it.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) owner: String,
    pub(super) comment: String,
    pub(super) is_open: bool,
    /// What an interrupted DROP DATABASE leaves behind.
    pub(super) is_invalid: bool,
    pub(super) is_template: bool,
    /// Something is granted to PUBLIC.
    pub(super) is_public: bool,
    /// Who may connect, besides its owner and the control plane.
    pub(super) guests: Vec<String>,
    pub(super) has_old_collation: bool,
}

/// A role as the cluster has it.
#[derive(Debug, Clone)]
pub(super) struct Role {
    pub(super) comment: String,
    pub(super) may_log_in: bool,
    /// No attribute that a tenant's login must not have.
    pub(super) is_plain: bool,
    pub(super) connection_limit: i32,
    pub(super) settings: Vec<String>,
    pub(super) memberships: Vec<String>,
}

/// What was read.
pub(super) struct Catalog {
    pub(super) databases: HashMap<String, Database>,
    pub(super) roles: HashMap<String, Role>,
    /// Settings of a role in a database, by both names.
    pub(super) pins: HashMap<(String, String), Vec<String>>,
}

const DATABASES: &str = "
    select datname::text as name, pg_get_userbyid(datdba)::text as owner,
        coalesce(shobj_description(oid, 'pg_database'), '') as comment, datallowconn as is_open,
        datconnlimit = -2 as is_invalid, datistemplate as is_template,
        exists (
            select from aclexplode(coalesce(datacl, acldefault('d', datdba))) grants where grants.grantee = 0) as is_public,
        array(
            select distinct pg_get_userbyid(grants.grantee)::text
            from aclexplode(coalesce(datacl, acldefault('d', datdba))) grants
            where grants.grantee not in (0, datdba, 'rowhouse_control'::regrole)) as guests,
        coalesce(datcollversion is distinct from pg_database_collation_actual_version(oid), false) as has_old_collation
    from pg_database where datname not in ('postgres', 'template0', 'template1')";
const ROLES: &str = "
    select rolname::text as name, coalesce(shobj_description(oid, 'pg_authid'), '') as comment,
        rolcanlogin as may_log_in, rolconnlimit as connection_limit,
        rolinherit and not (rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls) as is_plain,
        coalesce(rolconfig, '{}') as settings,
        array(select pg_get_userbyid(roleid)::text from pg_auth_members where member = pg_roles.oid) as memberships
    from pg_roles where rolname not like 'pg\\_%'";
const PINS: &str = "
    select pg_get_userbyid(setrole)::text as role, datname::text as database, setconfig as settings
    from pg_db_role_setting join pg_database on pg_database.oid = setdatabase where setrole <> 0";

/// Reads the catalogs.
pub(super) async fn read(admin: &AdminConnection) -> Result<Catalog> {
    let mut catalog = Catalog { databases: HashMap::new(), roles: HashMap::new(), pins: HashMap::new() };
    for row in &admin.query(DATABASES, &[]).await.context("reading a cluster's databases")? {
        let database = Database {
            owner: row.column("owner")?,
            comment: row.column("comment")?,
            is_open: row.column("is_open")?,
            is_invalid: row.column("is_invalid")?,
            is_template: row.column("is_template")?,
            is_public: row.column("is_public")?,
            guests: row.column("guests")?,
            has_old_collation: row.column("has_old_collation")?,
        };
        catalog.databases.insert(row.column("name")?, database);
    }
    for row in &admin.query(ROLES, &[]).await.context("reading a cluster's roles")? {
        let role = Role {
            comment: row.column("comment")?,
            may_log_in: row.column("may_log_in")?,
            is_plain: row.column("is_plain")?,
            connection_limit: row.column("connection_limit")?,
            settings: row.column("settings")?,
            memberships: row.column("memberships")?,
        };
        catalog.roles.insert(row.column("name")?, role);
    }
    for row in &admin.query(PINS, &[]).await.context("reading a cluster's pins")? {
        catalog.pins.insert((row.column("role")?, row.column("database")?), row.column("settings")?);
    }
    Ok(catalog)
}
