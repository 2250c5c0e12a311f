//! Looks whether a server is one that tenants can be placed on, before anything depends on it.

use rowhouse_database::{Columns, Described};
use rowhouse_problem::{Error, Result};

use super::link::ClusterLink;
use crate::context::Context;

/// The oldest server: earlier ones lack what isolation rests on.
const OLDEST: i32 = 150_000;

const LOOK: &str = "
    select current_setting('server_version_num')::integer as version,
        (select system_identifier::text from pg_control_system()) as identifier,
        (select count(*) from pg_roles
         where rolname in ('rowhouse_owner', 'rowhouse_control', 'rowhouse_data', 'tenant_app')) = 4
            and pg_has_role(current_user, 'rowhouse_owner', 'member')
            and exists (select from pg_roles where rolname = current_user and rolcreaterole) as has_roles,
        exists (
            select from pg_database
            where datname = $1::text::name and datistemplate and pg_get_userbyid(datdba) = 'rowhouse_owner') as has_base";

/// Logs in and looks; gives the server's own identifier.
pub(super) async fn probe(context: &Context, link: &ClusterLink) -> Result<String> {
    let bootstrap = "Run `rowhouse cluster bootstrap` against it as its superuser first.";
    let admin = link.open(context, "postgres").await.map_err(|error| {
        tracing::warn!(cluster = link.name, error = error.chain(), "a cluster can't be registered");
        Error::invalid_field(
            "/host",
            format!(
                "the server can't be logged in to as `{}`: check address, password and TLS. {bootstrap}",
                link.login
            ),
        )
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
    row.column("identifier")
}
