//! What the tenants of one shared database have in common.

use dashmap::DashSet;
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};

use super::connection::TenantConnection;
use crate::error::Described;
use crate::sql::{Columns, Sql};

/// The tenants that use a shared pool.
#[derive(Default)]
pub(crate) struct Neighbours {
    /// Tenants, with the generation of their placement, whose identity row was seen in this database.
    identified: DashSet<(TenantId, i64)>,
}

const IDENTIFIED: &str = "select exists (select from tenant_identity where tenant_id = $1) as identified";

impl Neighbours {
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
        self.identified.retain(|(identified, _)| *identified != tenant);
    }
}
