//! Choosing where a tenant will live.

use rowhouse_database::Sql;
use rowhouse_domain::{ClusterId, GroupId, Isolation, TenantId, TenantName};
use rowhouse_problem::{Code, Error, Result};

use super::{PUBLIC, Place};
use crate::clusters;
use crate::context::Context;
use crate::groups;
use crate::tenants::model::Tenant;
use crate::tenants::store;

/// Times that a group's last place may be taken by others before the attempt is left to another.
const TRIES: usize = 20;

/// The tenant has a cluster and names; they never change afterwards.
pub(super) async fn ensure(context: &Context, tenant: Tenant) -> Result<Tenant> {
    if tenant.place.is_some() {
        return Ok(tenant);
    }
    let cluster = match tenant.cluster_id {
        Some(chosen) => chosen,
        None => {
            let chosen = clusters::store::choose(&context.platform.get().await?, None).await?;
            chosen.ok_or_else(|| Error::new(Code::ProvisioningFailed, "No cluster accepts new tenants."))?
        }
    };
    for _ in 0..TRIES {
        if tenant.isolation != Isolation::Dedicated {
            groups::ensure_room(context, cluster, tenant.isolation).await?;
        }
        let mut connection = context.platform.get().await?;
        let tx = connection.transaction().await?;
        let Some(place) = place_in(context, &tx, &tenant, cluster).await? else { continue };
        let placed = store::set_place(&tx, tenant.id, &place).await?;
        tx.commit().await?;
        return match placed {
            Some(placed) => Ok(placed),
            // Another process has just done the same.
            None => store::find(&connection, tenant.id).await?.ok_or_else(|| Error::not_found("tenant", tenant.id)),
        };
    }
    Err(Error::unavailable("groups fill up as quickly as they are made"))
}

/// The place that the tenant will have on a cluster; none where its group's room was taken in the meantime.
async fn place_in(context: &Context, tx: &impl Sql, tenant: &Tenant, cluster: ClusterId) -> Result<Option<Place>> {
    if tenant.isolation == Isolation::Dedicated {
        return place_for(tenant.id, &tenant.name, cluster).map(Some);
    }
    let size = groups::size(context, tenant.isolation);
    let group = groups::store::lock_with_room(tx, cluster, tenant.isolation, size).await?;
    let Some(group) = group else { return Ok(None) };
    let own = place_for(tenant.id, &tenant.name, cluster)?;
    Ok(Some(match group.role {
        Some(role) => shared_place(cluster, group.id, group.database, role),
        // The schema is called as the database would have been.
        None => Place { schema: own.database.clone(), database: group.database, group: Some(group.id), ..own },
    }))
}

fn shared_place(cluster: ClusterId, group: GroupId, database: String, role: String) -> Place {
    Place {
        cluster,
        group: Some(group),
        database,
        schema: PUBLIC.to_owned(),
        role,
        generation: 0,
        credential_version: 1,
    }
}

/// The place of a tenant with a database of its own, named from what the tenant is called now.
pub(in crate::tenants) fn place_for(id: TenantId, name: &str, cluster: ClusterId) -> Result<Place> {
    let name = TenantName::parse(name).map_err(Error::internal)?;
    let (database, role) = rowhouse_domain::names::database_and_role(&name, id);
    Ok(Place {
        cluster,
        group: None,
        database: database.as_str().to_owned(),
        schema: PUBLIC.to_owned(),
        role: role.as_str().to_owned(),
        generation: 0,
        credential_version: 1,
    })
}
