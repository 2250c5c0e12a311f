//! What `saas_platform` says of one cluster. Owns its SQL; decides nothing.

use std::collections::HashSet;

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{ClusterId, GroupId, Isolation, TenantId, TenantStatus};
use rowhouse_problem::Result;
use tokio_postgres::Row;
use uuid::Uuid;

/// A tenant as its row has it.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) id: TenantId,
    pub(super) status: TenantStatus,
    pub(super) isolation: Isolation,
    pub(super) database: String,
    pub(super) schema: String,
    pub(super) role: String,
    pub(super) schema_version: i32,
    /// An operation is about it, or will be.
    pub(super) is_busy: bool,
    pub(super) is_being_purged: bool,
}

/// A group database, a stock database or a template as its row has it.
#[derive(Debug, Clone)]
pub(super) struct RecordedGroup {
    pub(super) id: GroupId,
    pub(super) database: String,
    pub(super) role: Option<String>,
    /// Of the schema that its tenants share, where they do.
    pub(super) schema_version: i32,
}

/// All rows about a cluster.
pub(super) struct Rows {
    pub(super) tenants: Vec<Recorded>,
    pub(super) groups: Vec<RecordedGroup>,
    /// Names, and the ids of the tenants to be.
    pub(super) stock: Vec<(String, TenantId, bool)>,
    pub(super) templates: Vec<String>,
    /// Tenants of which nothing should be left anywhere.
    pub(super) purged_tenants: HashSet<TenantId>,
    /// Every tenant's id that was ever given, purged ones too.
    pub(super) known_tenants: HashSet<TenantId>,
    /// Schemas that a dry run is at work on.
    pub(super) rehearsed: HashSet<Uuid>,
}

const TENANTS: &str = "
    select tenant.id, tenant.status, tenant.isolation, tenant.database_name, tenant.schema_name, tenant.role_name,
        tenant.schema_version, tenant.purge_begun_at is not null as is_being_purged,
        exists (
            select from operations where subject_id = tenant.id and state in ('queued', 'running')) as is_busy
    from tenants tenant
    where tenant.cluster_id = $1 and tenant.status <> 'purged' and tenant.database_name is not null
    order by tenant.id";
const GROUPS: &str = "
    select id, database_name, role_name, schema_version from group_databases where cluster_id = $1 and is_ready order by id";
const STOCK: &str =
    "select id, database_name, is_ready and not is_taken as is_waiting from stock_databases where cluster_id = $1";
const TEMPLATES: &str = "select database_name from templates where cluster_id = $1 order by schema_version";
const PURGED: &str = "select id from tenants where status = 'purged'";
const KNOWN: &str = "select id from tenants union all select id from stock_databases";
const REHEARSED: &str = "
    select begun.schema_id from migration_run_schemas begun join migration_runs run on run.id = begun.run_id
    where begun.state = 'running' and run.dry_run is not null";

/// Reads all rows about a cluster.
pub(super) async fn read(db: &impl Sql, cluster: ClusterId) -> Result<Rows> {
    let tenants = db.query(TENANTS, &[&cluster]).await.context("listing the tenants of a cluster")?;
    let groups = db.query(GROUPS, &[&cluster]).await.context("listing the groups of a cluster")?;
    let stock = db.query(STOCK, &[&cluster]).await.context("listing the stock of a cluster")?;
    let templates = db.query(TEMPLATES, &[&cluster]).await.context("listing the templates of a cluster")?;
    let purged = db.query(PURGED, &[]).await.context("listing purged tenants")?;
    let known = db.query(KNOWN, &[]).await.context("listing known ids")?;
    let rehearsed = db.query(REHEARSED, &[]).await.context("listing what is tried out")?;
    Ok(Rows {
        tenants: tenants.iter().map(tenant).collect::<Result<_>>()?,
        groups: groups
            .iter()
            .map(|row| {
                Ok(RecordedGroup {
                    id: row.column("id")?,
                    database: row.column("database_name")?,
                    role: row.column("role_name")?,
                    schema_version: row.column("schema_version")?,
                })
            })
            .collect::<Result<_>>()?,
        stock: stock
            .iter()
            .map(|row| Ok((row.column("database_name")?, row.column("id")?, row.column("is_waiting")?)))
            .collect::<Result<_>>()?,
        templates: templates.iter().map(|row| row.column("database_name")).collect::<Result<_>>()?,
        purged_tenants: purged.iter().map(|row| row.column("id")).collect::<Result<_>>()?,
        known_tenants: known.iter().map(|row| row.column("id")).collect::<Result<_>>()?,
        rehearsed: rehearsed.iter().map(|row| row.column("schema_id")).collect::<Result<_>>()?,
    })
}

fn tenant(row: &Row) -> Result<Recorded> {
    Ok(Recorded {
        id: row.column("id")?,
        status: row.column("status")?,
        isolation: row.column("isolation")?,
        database: row.column("database_name")?,
        schema: row.column("schema_name")?,
        role: row.column("role_name")?,
        schema_version: row.column("schema_version")?,
        is_busy: row.column("is_busy")?,
        is_being_purged: row.column("is_being_purged")?,
    })
}
