//! What a purge would remove.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::TenantId;
use rowhouse_problem::Result;
use serde::Serialize;
use utoipa::ToSchema;

use super::objects;
use crate::clusters;
use crate::context::Context;
use crate::tenants::model::Tenant;

/// What would go with a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Preview {
    /// Whose data it is.
    #[schema(value_type = String)]
    tenant_id: TenantId,
    /// The tenant's name, to be repeated by who means it.
    name: String,
    /// How it is kept apart from others.
    #[schema(value_type = String)]
    isolation: rowhouse_domain::Isolation,
    /// The cluster that it is on.
    cluster: Option<String>,
    /// The database that would be dropped, or that its schema or rows would be removed from.
    database: Option<String>,
    /// The schema that would be dropped, or that its rows would be removed from.
    schema: Option<String>,
    /// Its login, which would be dropped unless others use it too.
    role: Option<String>,
    /// Bytes of the whole database, where the tenant has one of its own.
    database_bytes: Option<i64>,
    /// Contents of files that would be deleted.
    objects: u64,
    /// Their bytes.
    object_bytes: u64,
    /// Keys that would be revoked.
    api_keys: i64,
}

const KEYS: &str = "select count(*) as count from tenant_api_keys where tenant_id = $1 and revoked_at is null";
const SIZE: &str = "select pg_database_size(oid) as bytes from pg_database where datname = $1::text::name";

/// Looks, and changes nothing.
pub(in crate::tenants) async fn look(context: &Context, tenant: &Tenant) -> Result<Preview> {
    let (objects, object_bytes) = objects::count(context, tenant.id).await?;
    let row = context.platform.get().await?.query_one(KEYS, &[&tenant.id]).await.context("counting keys")?;
    let (mut cluster, mut database_bytes) = (None, None);
    if let Some(place) = &tenant.place {
        let link = clusters::find_link(&context.platform.get().await?, place.cluster).await?;
        if place.group.is_none() {
            let (_turn, admin) = context.administer_cluster_in_turn(&link).await?;
            // Its owner may measure what nobody can connect to.
            admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
            let rows = admin.query(SIZE, &[&place.database]).await.context("measuring a database")?;
            database_bytes = rows.first().map(|row| row.column("bytes")).transpose()?;
        }
        cluster = Some(link.name);
    }
    let place = tenant.place.as_ref();
    Ok(Preview {
        tenant_id: tenant.id,
        name: tenant.name.clone(),
        isolation: tenant.isolation,
        cluster,
        database: place.map(|place| place.database.clone()),
        schema: place.map(|place| place.schema.clone()),
        role: place.map(|place| place.role.clone()),
        database_bytes,
        objects,
        object_bytes,
        api_keys: row.column("count")?,
    })
}
