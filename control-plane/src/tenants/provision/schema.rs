//! The tenant's tables, its right to use them, and the row that says whose they are.

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident, quote_literal};
use rowhouse_domain::TenantId;
use rowhouse_migrations::{Options, Set};
use rowhouse_problem::{Error, Result};

use super::Site;
use crate::tenants::store;

/// The schema is the newest, the login may use it, and it is marked as this tenant's.
pub(super) async fn ensure(site: &Site<'_>) -> Result<()> {
    let (schema, role) = (quote_ident(&site.place.schema), quote_ident(&site.place.role));
    let mut admin = site.work.context.administer_database(&site.cluster, &site.place.database).await?;
    admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
    admin.run(&format!("set search_path = {schema}, extensions, pg_temp")).await.context("setting the search path")?;
    refuse_another_tenants(&admin, site.tenant.id).await?;
    let report =
        rowhouse_migrations::run(admin.client(), Set::Tenant, &Options::default()).await.map_err(Error::unavailable)?;
    let granted = format!(
        "revoke all on schema {schema} from public;
        grant usage on schema {schema} to {role};
        grant usage on schema extensions to {role};
        set app.tenant_id = {tenant};
        insert into tenant_identity (tenant_id, isolation, generation)
        values ({tenant}, {isolation}, {generation}) on conflict do nothing",
        tenant = quote_literal(&site.tenant.id.as_uuid().to_string()),
        isolation = quote_literal(site.tenant.isolation.as_str()),
        generation = site.place.generation,
    );
    admin.run(&granted).await.context("marking a tenant's schema")?;
    let version = report.version.and_then(|version| i32::try_from(version).ok()).unwrap_or(0);
    store::set_schema_version(&site.work.context.platform.get().await?, site.tenant.id, version).await
}

/// A schema that already says whose it is must say that it is ours.
async fn refuse_another_tenants(admin: &AdminConnection, tenant: TenantId) -> Result<()> {
    let rows = admin
        .query("select to_regclass('tenant_identity') is not null as is_made", &[])
        .await
        .context("looking for a tenant's mark")?;
    let is_made: bool = rows.first().map_or(Ok(false), |row| row.column("is_made"))?;
    if !is_made {
        return Ok(());
    }
    let others = admin
        .query("select tenant_id from tenant_identity where tenant_id <> $1", &[&tenant])
        .await
        .context("reading a tenant's mark")?;
    if others.is_empty() { Ok(()) } else { Err(Error::internal("the schema is marked as another tenant's")) }
}
