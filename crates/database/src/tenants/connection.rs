//! A connection that sees one tenant's rows and nothing else.

use rowhouse_domain::TenantId;
use rowhouse_problem::Result;
use tokio_postgres::Row;

use crate::error::{Described, QueryError};
use crate::session::{Session, SessionTransaction};
use crate::sql::{Parameters, Sql};

/// A connection pinned to one tenant; only [`TenantPools`](super::TenantPools) makes one.
pub struct TenantConnection {
    session: Session,
    tenant: TenantId,
    /// Named anew in each transaction where the session serves other tenants afterwards; a login of the tenant's own is
    /// pinned by a setting of its role.
    pin: Option<TenantId>,
}

impl TenantConnection {
    pub(crate) fn new(session: Session, tenant: TenantId, is_shared: bool) -> Self {
        Self { session, tenant, pin: is_shared.then_some(tenant) }
    }

    /// Whose connection it is.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn transaction(&mut self) -> Result<TenantTransaction<'_>> {
        let transaction = self.session.begin(self.pin).await.context("beginning a tenant transaction")?;
        Ok(TenantTransaction(transaction, self.tenant))
    }
}

impl Sql for TenantConnection {
    async fn query(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, QueryError> {
        self.session.run(self.pin, sql, parameters).await
    }

    async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, QueryError> {
        self.session.run(self.pin, sql, parameters).await
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

impl Sql for TenantTransaction<'_> {
    async fn query(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, QueryError> {
        self.0.run(sql, parameters).await
    }

    async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, QueryError> {
        self.0.run(sql, parameters).await
    }
}
