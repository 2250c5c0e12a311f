//! What the tenants of one shared database have in common, and what each of them has of it.

use std::sync::Arc;

use dashmap::{DashMap, DashSet};
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::TenantConnection;
use crate::error::Described;
use crate::sql::{Columns, Sql};

/// The tenants that use a shared pool.
pub(crate) struct Neighbours {
    /// Connections that one of them may hold.
    share: usize,
    shares: DashMap<TenantId, Arc<Semaphore>>,
    /// Tenants, with the generation of their placement, whose identity row was seen in this database.
    identified: DashSet<(TenantId, i64)>,
}

const IDENTIFIED: &str = "select exists (select from tenant_identity where tenant_id = $1) as identified";

impl Neighbours {
    pub(crate) fn new(share: usize) -> Self {
        Self { share, shares: DashMap::new(), identified: DashSet::new() }
    }

    /// Waits until the tenant holds less than its share.
    pub(crate) async fn admit(&self, tenant: TenantId) -> Result<OwnedSemaphorePermit> {
        let share = Arc::clone(&self.shares.entry(tenant).or_insert_with(|| Arc::new(Semaphore::new(self.share))));
        share.acquire_owned().await.map_err(Error::internal)
    }

    /// Refuses a connection to a database that does not know the tenant: a row of `saas_platform` may be stale.
    pub(crate) async fn identify(&self, connection: &TenantConnection, generation: i64) -> Result<()> {
        let tenant = connection.tenant();
        if self.identified.contains(&(tenant, generation)) {
            return Ok(());
        }
        let row = connection.query_one(IDENTIFIED, &[&tenant]).await.context("looking for a tenant's identity")?;
        if !row.column::<bool>("identified")? {
            tracing::error!(%tenant, "a connection led to a shared database that does not know the tenant");
            return Err(Error::unavailable("the shared database does not know the tenant"));
        }
        self.identified.insert((tenant, generation));
        Ok(())
    }

    /// Forgets a tenant.
    pub(crate) fn forget(&self, tenant: TenantId) {
        self.shares.remove(&tenant);
        self.identified.retain(|(identified, _)| *identified != tenant);
    }
}
