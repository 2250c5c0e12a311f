//! The tenant's login, its limits and its pin.

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident, quote_literal};
use rowhouse_keys::scram_verifier;
use rowhouse_problem::{Error, Result};

use super::Site;

/// The login exists, is this tenant's, and has its password and limits.
pub(super) async fn ensure(site: &Site<'_>) -> Result<()> {
    let admin = site.work.context.administer_cluster(&site.cluster).await?;
    let role = quote_ident(&site.place.role);
    let mark = quote_literal(&site.mark());
    match comment_of(&admin, &site.place.role).await? {
        None => {
            // One simple query is one transaction: no role without its mark.
            let made = format!("create role {role} nologin in role tenant_app; comment on role {role} is {mark}");
            admin.run(&made).await.context("creating a tenant's login")?;
        }
        Some(comment) if comment == site.mark() => {}
        Some(_) => return Err(Error::internal(format!("the role {:?} belongs to somebody else", site.place.role))),
    }
    let settings = &site.work.context.settings.provisioning;
    let password = site.work.context.tenant_password(site.tenant.id, site.place.credential_version);
    let verifier = quote_literal(&scram_verifier(&password));
    let limited = format!(
        "alter role {role} login connection limit {limit} password {verifier};
        alter role {role} set statement_timeout = {statement};
        alter role {role} set idle_in_transaction_session_timeout = {idle};
        alter role {role} set temp_file_limit = {temp}",
        limit = settings.connection_limit,
        statement = quote_literal(&format!("{}ms", settings.statement_timeout.as_millis())),
        idle = quote_literal(&format!("{}ms", settings.idle_in_transaction_timeout.as_millis())),
        temp = quote_literal(&format!("{}MB", settings.temp_file_limit_mib)),
    );
    admin.run(&limited).await.context("limiting a tenant's login")
}

/// The login is pinned to its tenant in its database, which is then opened.
pub(super) async fn ensure_pin(site: &Site<'_>) -> Result<()> {
    let admin = site.work.context.administer_cluster(&site.cluster).await?;
    let (role, database) = (quote_ident(&site.place.role), quote_ident(&site.place.database));
    let pinned = format!(
        "alter role {role} in database {database} set app.tenant_id = {tenant};
        alter role {role} in database {database} set search_path = {schema}, extensions, pg_temp",
        tenant = quote_literal(&site.tenant.id.as_uuid().to_string()),
        schema = quote_ident(&site.place.schema),
    );
    admin.run(&pinned).await.context("pinning a tenant's login")?;
    admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
    admin.run(&format!("alter database {database} allow_connections true")).await.context("opening a database")
}

/// The comment on a role: empty where it has none, nothing where there is no such role.
async fn comment_of(admin: &AdminConnection, role: &str) -> Result<Option<String>> {
    const COMMENT: &str = "
        select coalesce(shobj_description(oid, 'pg_authid'), '') as comment from pg_roles where rolname = $1::text::name";
    let rows = admin.query(COMMENT, &[&role]).await.context("looking for a role")?;
    rows.first().map(|row| row.column("comment")).transpose()
}
