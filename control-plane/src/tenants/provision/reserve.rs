//! Choosing where a tenant will live.

use rowhouse_problem::{Code, Error, Result};

use super::{SCHEMA, names};
use crate::clusters;
use crate::operations::Work;
use crate::tenants::model::Tenant;
use crate::tenants::store;

/// The tenant has a cluster and names; they never change afterwards.
pub(super) async fn ensure(work: &Work, tenant: &Tenant) -> Result<()> {
    if tenant.place.is_some() {
        return Ok(());
    }
    let (database, role) = names(tenant)?;
    let mut connection = work.context.platform.get().await?;
    let tx = connection.transaction().await?;
    let cluster = match tenant.cluster_id {
        Some(asked_for) => asked_for,
        None => clusters::store::choose(&tx)
            .await?
            .ok_or_else(|| Error::new(Code::ProvisioningFailed, "No cluster accepts new tenants."))?,
    };
    // None where another process has just done the same.
    let _ = store::set_place(&tx, tenant.id, cluster, &database, SCHEMA, &role).await?;
    tx.commit().await
}
