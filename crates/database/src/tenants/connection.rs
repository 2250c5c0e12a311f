//! A connection that sees one tenant's rows and nothing else.

use rowhouse_domain::TenantId;
use rowhouse_problem::Result;
use tokio_postgres::Row;

use crate::error::{Described, QueryError};
use crate::platform::runs_sql;
use crate::session::{Session, SessionTransaction};
use crate::sql::{Parameters, Sql};

/// A connection pinned to one tenant; only [`TenantPools`](super::TenantPools) makes one.
pub struct TenantConnection(Session, TenantId);

impl TenantConnection {
    pub(crate) fn new(session: Session, tenant: TenantId) -> Self {
        Self(session, tenant)
    }

    /// Whose connection it is.
    pub fn tenant(&self) -> TenantId {
        self.1
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn transaction(&mut self) -> Result<TenantTransaction<'_>> {
        let tenant = self.1;
        let transaction = self.0.begin().await.context("beginning a tenant transaction")?;
        Ok(TenantTransaction(transaction, tenant))
    }
}

/// A transaction on one tenant's data; dropping it rolls it back.
pub struct TenantTransaction<'a>(SessionTransaction<'a>, TenantId);

impl TenantTransaction<'_> {
    /// Whose transaction it is.
    pub fn tenant(&self) -> TenantId {
        self.1
    }

    /// Commits.
    ///
    /// # Errors
    /// Whatever the server says; without an answer the outcome is unknown.
    pub async fn commit(self) -> Result<()> {
        self.0.commit().await.context("committing a tenant transaction")
    }
}

runs_sql!(TenantConnection, TenantTransaction<'_>);
