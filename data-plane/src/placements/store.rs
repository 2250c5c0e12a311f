//! Platform tables `tenants`, `organizations` and `clusters`, as far as routing goes.

use rowhouse_database::{ActivePlacement, Columns, Credential, Described, Placement, Server, Sql};
use rowhouse_domain::{Isolation, TenantId};
use rowhouse_problem::Result;
use tokio_postgres::Row;

use crate::authentication::SERVED_SCHEMAS;

const FIND_ACTIVE: &str = "
    select tenant.id as tenant_id, tenant.generation, tenant.isolation, tenant.cluster_id, tenant.database_name, tenant.schema_name,
        tenant.role_name, tenant.credential_version, tenant.group_id, cluster.host, cluster.port,
        cluster.tls_mode::text as tls_mode, cluster.tls_ca, group_database.credential_version as group_credential_version
    from tenants tenant
    join organizations organization on organization.id = tenant.organization_id
    join clusters cluster on cluster.id = tenant.cluster_id
    left join group_databases group_database on group_database.id = tenant.group_id
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
    Ok(Some(ActivePlacement::vouch(from_row(&row)?)))
}

/// The placement that a row of a tenant, its cluster and its group database describes.
///
/// # Errors
/// Internal, where a column is missing.
pub(crate) fn from_row(row: &Row) -> Result<Placement> {
    let isolation: Isolation = row.column("isolation")?;
    let credential = match isolation {
        Isolation::Dedicated | Isolation::Schema => Credential::Tenant { version: row.column("credential_version")? },
        Isolation::Shared => {
            Credential::Group { group: row.column("group_id")?, version: row.column("group_credential_version")? }
        }
    };
    Ok(Placement {
        tenant: row.column("tenant_id")?,
        generation: row.column("generation")?,
        isolation,
        server: Server::from_row(row)?,
        database: row.column("database_name")?,
        schema: row.column("schema_name")?,
        role: row.column("role_name")?,
        credential,
    })
}
