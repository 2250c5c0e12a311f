//! Platform tables `tenants`, `organizations` and `clusters`, as far as routing goes.

use rowhouse_database::{ActivePlacement, Columns, Described, Placement, Sql};
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};

use crate::authentication::SERVED_SCHEMAS;

const FIND_ACTIVE: &str = "
    select tenant.generation, tenant.isolation, tenant.cluster_id, cluster.host, cluster.port, tenant.database_name,
        tenant.schema_name, tenant.role_name, tenant.credential_version
    from tenants tenant
    join organizations organization on organization.id = tenant.organization_id
    join clusters cluster on cluster.id = tenant.cluster_id
    where tenant.id = $1 and tenant.status = 'active' and organization.subscription_status = 'active'
        and organization.deleted_at is null
        and tenant.schema_version between $2 and $3";

/// The placement of a tenant that may be served; none where it, its organization or its schema's version may not.
///
/// # Errors
/// Whatever the server says.
pub async fn find_active(platform: &impl Sql, tenant: TenantId) -> Result<Option<ActivePlacement>> {
    let row = platform
        .query_opt(FIND_ACTIVE, &[&tenant, SERVED_SCHEMAS.start(), SERVED_SCHEMAS.end()])
        .await
        .context("looking up a placement")?;
    let Some(row) = row else { return Ok(None) };
    let port: i32 = row.column("port")?;
    Ok(Some(ActivePlacement::vouch(Placement {
        tenant,
        generation: row.column("generation")?,
        isolation: row.column("isolation")?,
        cluster: row.column("cluster_id")?,
        host: row.column("host")?,
        port: u16::try_from(port).map_err(Error::internal)?,
        database: row.column("database_name")?,
        schema: row.column("schema_name")?,
        role: row.column("role_name")?,
        credential_version: row.column("credential_version")?,
    })))
}
