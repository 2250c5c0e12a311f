//! Looking at a tenant's database: where it is, how large, how busy.

use rowhouse_database::{Columns, Described};
use rowhouse_domain::{ClusterId, Isolation};
use rowhouse_problem::{Code, Error, Result};
use serde::Serialize;
use utoipa::ToSchema;

use super::model::Tenant;
use crate::clusters;
use crate::context::Context;

/// A tenant's database, as its cluster sees it now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantDatabase {
    /// The cluster that it is on.
    #[schema(value_type = String)]
    cluster_id: ClusterId,
    /// The cluster's name.
    cluster: String,
    /// The database.
    database: String,
    /// The schema in it.
    schema: String,
    /// The tenant's login.
    role: String,
    /// How it is kept apart from others.
    #[schema(value_type = String)]
    isolation: Isolation,
    /// Grows with every change of the place.
    generation: i64,
    /// The version of the schema.
    schema_version: i32,
    /// Bytes on disk; none while it is being made.
    size: Option<i64>,
    /// Open connections to it, the control plane's included.
    connections: i64,
}

const LOOK: &str = "
    select (select pg_database_size(oid) from pg_database where datname = $1::text::name) as size,
        (select count(*) from pg_stat_activity where datname = $1::text::name) as connections";

/// Asks the cluster about a tenant's database.
pub(super) async fn look(context: &Context, tenant: &Tenant) -> Result<TenantDatabase> {
    let place = tenant
        .place
        .as_ref()
        .ok_or_else(|| Error::new(Code::TenantNotReady, "Its place is not chosen yet. Try again in a moment."))?;
    let cluster = clusters::store::find(&context.platform.get().await?, place.cluster).await?;
    let cluster = cluster.ok_or_else(|| Error::internal("the cluster is not registered"))?;
    let admin = context.administer_cluster(&cluster).await?;
    // Owners may measure what nobody can connect to yet.
    admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
    let rows = admin.query(LOOK, &[&place.database]).await.context("looking at a database")?;
    let row = rows.first().ok_or_else(|| Error::internal("no answer about a database"))?;
    Ok(TenantDatabase {
        cluster_id: cluster.id,
        cluster: cluster.name,
        database: place.database.clone(),
        schema: place.schema.clone(),
        role: place.role.clone(),
        isolation: tenant.isolation,
        generation: place.generation,
        schema_version: tenant.schema_version,
        size: row.column("size")?,
        connections: row.column("connections")?,
    })
}
