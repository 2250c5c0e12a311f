//! Looking at a tenant's database: where it is, how large, how busy.
//!
//! A look takes a connection of its own to the cluster. Any number of requests may ask, so what was seen is kept for a
//! few seconds, and requests take turns at the cluster.

use std::sync::Arc;

use rowhouse_database::{Columns, Described};
use rowhouse_domain::{ClusterId, Isolation};
use rowhouse_problem::{Code, Error, Result};
use serde::Serialize;
use utoipa::ToSchema;

use super::model::{Place, Tenant};
use super::recent::Recent;
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
    /// Bytes on disk, as of a few seconds ago; none while it is being made.
    size: Option<i64>,
    /// Open connections to it, the control plane's included, as of a few seconds ago.
    connections: i64,
}

/// What was seen lately.
#[derive(Default)]
pub(crate) struct RecentLooks(Recent<Look>);

/// What the cluster says.
#[derive(Clone)]
struct Look {
    cluster: String,
    size: Option<i64>,
    connections: i64,
}

// Owners may measure what nobody can connect to yet. Measuring walks every file of the database: a caller may go away,
// the server would go on.
const PREPARE: &str = "set role rowhouse_owner; set statement_timeout = '10s'";
const LOOK: &str = "
    select (select pg_database_size(oid) from pg_database where datname = $1::text::name) as size,
        (select count(*) from pg_stat_activity where datname = $1::text::name) as connections";

/// What is known about a tenant's database.
pub(super) async fn look(context: &Arc<Context>, tenant: &Tenant) -> Result<TenantDatabase> {
    let place = tenant
        .place
        .as_ref()
        .ok_or_else(|| Error::new(Code::TenantNotReady, "Its place is not chosen yet. Try again in a moment."))?;
    let asked = ask(Arc::clone(context), place.clone());
    let look = context.looks.0.get((tenant.id, place.generation), asked).await?;
    Ok(TenantDatabase {
        cluster_id: place.cluster,
        cluster: look.cluster,
        database: place.database.clone(),
        schema: place.schema.clone(),
        role: place.role.clone(),
        isolation: tenant.isolation,
        generation: place.generation,
        schema_version: tenant.schema_version,
        size: look.size,
        connections: look.connections,
    })
}

/// Asks the cluster about a database.
async fn ask(context: Arc<Context>, place: Place) -> Result<Look> {
    let cluster = clusters::find_link(&context.platform.get().await?, place.cluster).await?;
    let (_turn, admin) = context.administer_cluster_in_turn(&cluster).await?;
    admin.run(PREPARE).await.context("preparing to look at a database")?;
    let rows = admin.query(LOOK, &[&place.database]).await.context("looking at a database")?;
    let row = rows.first().ok_or_else(|| Error::internal("no answer about a database"))?;
    Ok(Look { cluster: cluster.name, size: row.column("size")?, connections: row.column("connections")? })
}
