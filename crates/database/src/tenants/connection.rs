//! A connection that sees one tenant's rows and nothing else.

use rowhouse_domain::TenantId;
use rowhouse_problem::Result;
use tokio::sync::OwnedSemaphorePermit;
use tokio_postgres::Row;

use crate::error::{Described, QueryError};
use crate::platform::runs_sql;
use crate::session::{Session, SessionTransaction};
use crate::sql::{Parameters, Sql};

/// What keeps a connection to its tenant.
pub(crate) enum Pin {
    /// The login: a setting of the role names the tenant in every session of its.
    Login,
    /// Each transaction says it anew, because the session serves other tenants afterwards.
    Transaction {
        /// Given back when the connection is.
        _share: OwnedSemaphorePermit,
    },
}

/// A connection pinned to one tenant; only [`TenantPools`](super::TenantPools) makes one.
pub struct TenantConnection {
    session: Session,
    tenant: TenantId,
    pin: Pin,
}

impl TenantConnection {
    pub(crate) fn new(session: Session, tenant: TenantId, pin: Pin) -> Self {
        Self { session, tenant, pin }
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
        let tenant = self.tenant;
        let pin = match self.pin {
            Pin::Login => None,
            Pin::Transaction { .. } => Some(tenant),
        };
        let transaction = self.session.begin(pin).await.context("beginning a tenant transaction")?;
        Ok(TenantTransaction(transaction, tenant))
    }
}

impl Sql for TenantConnection {
    async fn query(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, QueryError> {
        match self.pin {
            Pin::Login => self.session.query(sql, parameters).await,
            Pin::Transaction { .. } => self.session.query_pinned(self.tenant, sql, parameters).await,
        }
    }

    async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, QueryError> {
        match self.pin {
            Pin::Login => self.session.execute(sql, parameters).await,
            Pin::Transaction { .. } => self.session.execute_pinned(self.tenant, sql, parameters).await,
        }
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

runs_sql!(TenantTransaction<'_>);
