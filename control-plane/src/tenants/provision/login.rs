//! A tenant's own login and its limits.

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident, quote_literal};
use rowhouse_domain::TenantId;
use rowhouse_keys::scram_verifier_of_derived;
use rowhouse_problem::{Error, Result};

use super::{Site, mark};
use crate::context::Context;

/// The login exists, is this tenant's, and has its password and limits.
pub(super) async fn ensure(site: &Site<'_>) -> Result<()> {
    let admin = site.context.administer_cluster(site.link).await?;
    create(site.context, &admin, &site.place.role, site.tenant.id, site.place.credential_version).await?;
    admin.give_back();
    Ok(())
}

/// The same under any name; an error where somebody else's login has it.
pub(crate) async fn create(
    context: &Context,
    admin: &AdminConnection,
    name: &str,
    tenant: TenantId,
    credential_version: i32,
) -> Result<()> {
    let mark = mark(tenant);
    let role = quote_ident(name);
    let made = match comment_of(admin, name).await? {
        None => format!("create role {role} in role tenant_app; comment on role {role} is {};", quote_literal(&mark)),
        Some(comment) if comment == mark => String::new(),
        Some(_) => return Err(Error::internal(format!("the role {name:?} belongs to somebody else"))),
    };
    let settings = &context.settings.provisioning;
    let verifier = scram_verifier_of_derived(&context.tenant_password(tenant, credential_version));
    // One simple query is one transaction: no role without its mark, and no login without its limits.
    let limited = format!(
        "{made}
        alter role {role} login connection limit {limit} password {verifier};
        alter role {role} set statement_timeout = {statement};
        alter role {role} set idle_in_transaction_session_timeout = {idle};
        alter role {role} set temp_file_limit = {temp}",
        limit = settings.connection_limit,
        verifier = quote_literal(&verifier),
        statement = quote_literal(&format!("{}ms", settings.statement_timeout.as_millis())),
        idle = quote_literal(&format!("{}ms", settings.idle_in_transaction_timeout.as_millis())),
        temp = quote_literal(&format!("{}MB", settings.temp_file_limit_mib)),
    );
    admin.run(&limited).await.context("making a tenant's login")
}

/// Closes a database to everybody but a login and the control plane, and says whose it is; to be run as the owner. A clone
/// inherits neither its template's REVOKE nor its comment.
pub(crate) fn grants(database: &str, role: &str, mark: &str) -> String {
    format!(
        "comment on database {database} is {mark};
        revoke all on database {database} from public;
        grant connect on database {database} to {role}, rowhouse_control",
        database = quote_ident(database),
        role = quote_ident(role),
        mark = quote_literal(mark),
    )
}

/// The comment on a role: empty where it has none, nothing where there is no such role.
async fn comment_of(admin: &AdminConnection, role: &str) -> Result<Option<String>> {
    const COMMENT: &str = "
        select coalesce(shobj_description(oid, 'pg_authid'), '') as comment from pg_roles where rolname = $1::text::name";
    let rows = admin.query(COMMENT, &[&role]).await.context("looking for a role")?;
    rows.first().map(|row| row.column("comment")).transpose()
}
