//! What ties a login to its tenant: settings that each of its sessions begins with.

use rowhouse_database::{AdminConnection, Described, quote_ident, quote_literal};
use rowhouse_domain::{Isolation, TenantId};
use rowhouse_problem::Result;

use super::Site;
use crate::tenants::login;

/// The login is pinned to its tenant, and a database of its own is opened.
pub(super) async fn ensure(site: &Site<'_>) -> Result<()> {
    let admin = site.context.administer_cluster(site.link).await?;
    set(&admin, &site.place.role, &site.place.database, &site.place.schema, Some(site.tenant.id)).await?;
    if site.tenant.isolation == Isolation::Dedicated {
        let opened = format!(
            "begin; {}; set local role rowhouse_owner; alter database {} allow_connections true; commit",
            login::in_turn(&site.place.role),
            quote_ident(&site.place.database)
        );
        admin.run(&opened).await.context("opening a database")?;
    }
    admin.give_back();
    Ok(())
}

/// Sets a login's search path in a database, and its tenant.
pub(crate) async fn set(
    admin: &AdminConnection,
    role: &str,
    database: &str,
    schema: &str,
    tenant: Option<TenantId>,
) -> Result<()> {
    let in_turn = login::in_turn(role);
    let (role, database) = (quote_ident(role), quote_ident(database));
    let mut pinned = format!(
        "{in_turn}; alter role {role} in database {database} set search_path = {schema}, extensions, pg_temp",
        schema = quote_ident(schema),
    );
    if let Some(tenant) = tenant {
        let tenant = quote_literal(&tenant.as_uuid().to_string());
        pinned.push_str(&format!("; alter role {role} in database {database} set app.tenant_id = {tenant}"));
    }
    admin.run(&pinned).await.context("pinning a login")
}
