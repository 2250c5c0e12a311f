//! Looks whether a server is one that tenants can be placed on, before anything depends on it.

use rowhouse_database::{AdminConnection, Columns, Described};
use rowhouse_problem::{Error, Result};

use super::link::ClusterLink;
use crate::context::Context;

/// The oldest server: earlier ones lack what isolation rests on.
const OLDEST: i32 = 150_000;

const LOOK: &str = "
    select current_setting('server_version_num')::integer as version,
        has_function_privilege('pg_control_system()', 'execute') as is_identifiable,
        (select count(*) from pg_roles
         where rolname in ('rowhouse_owner', 'rowhouse_control', 'rowhouse_data', 'tenant_app')) = 4
            and pg_has_role(current_user, 'rowhouse_owner', 'member')
            and exists (select from pg_roles where rolname = current_user and rolcreaterole) as has_roles,
        exists (
            select from pg_database
            where datname = $1::text::name and datistemplate and pg_get_userbyid(datdba) = 'rowhouse_owner') as has_base";

const IDENTIFIER: &str = "select system_identifier::text as identifier from pg_control_system()";

/// What a server calls itself, by whatever address it is reached; none where managed PostgreSQL does not tell.
pub(super) async fn identifier(admin: &AdminConnection, is_allowed: bool) -> Result<Option<String>> {
    if !is_allowed {
        return Ok(None);
    }
    let rows = admin.query(IDENTIFIER, &[]).await.context("asking a cluster who it is")?;
    rows.first().map(|row| row.column("identifier")).transpose()
}

/// Logs in and looks; gives the server's own identifier where it can be had.
pub(super) async fn probe(context: &Context, link: &ClusterLink) -> Result<Option<String>> {
    let bootstrap = "Run `rowhouse cluster bootstrap --without-platform` against it as its superuser first.";
    let admin = link.open(context, "postgres").await.map_err(|error| {
        tracing::warn!(cluster = link.name, error = error.chain(), "a cluster can't be registered");
        complaint(&error.chain(), &link.login)
    })?;
    let base = &context.settings.provisioning.base;
    let rows = admin.query(LOOK, &[base]).await.context("looking at a cluster that is to be registered")?;
    let row = rows.first().ok_or_else(|| Error::internal("no answer from a cluster"))?;
    if row.column::<i32>("version")? < OLDEST {
        return Err(Error::invalid_field("/host", "the server is older than PostgreSQL 15"));
    }
    if !row.column::<bool>("has_roles")? || !row.column::<bool>("has_base")? {
        let detail = format!("the server lacks Rowhouse's roles or the database `{base}`. {bootstrap}");
        return Err(Error::invalid_field("/host", detail));
    }
    identifier(&admin, row.column("is_identifiable")?).await
}

/// What to do about a server that does not let us in. Its own words stay in the log: they may tell of its insides.
fn complaint(said: &str, login: &str) -> Error {
    if said.contains("certificate") {
        let detail = "the server's certificate is not one for this host by the authority in `tls_ca`";
        return Error::invalid_field("/tls_ca", detail);
    }
    if said.contains("password authentication failed") || said.contains("does not exist") {
        let detail = format!(
            "the server refuses the login `{login}` with this password. If it was never prepared, run `rowhouse cluster \
             bootstrap --without-platform` against it as its superuser"
        );
        return Error::invalid_field("/password", detail);
    }
    if said.contains("permission denied") {
        let detail =
            format!("the login `{login}` may not connect to the database `postgres`: is it the control plane's?");
        return Error::invalid_field("/login", detail);
    }
    if said.contains("TLS") || said.contains("pg_hba.conf") {
        return Error::invalid_field("/tls", "the server does not take connections like this: with TLS, or without");
    }
    Error::invalid_field("/host", "no PostgreSQL server answers there: check address, port and firewall")
}
