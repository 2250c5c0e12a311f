//! The pool to `saas_platform`.

use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::QueueMode;
use rowhouse_problem::{Error, Result};
use rowhouse_settings as settings;
use secrecy::ExposeSecret;
use tokio_postgres::Row;

use crate::error::{Described, QueryError, from_pool};
use crate::link::{LinkManager, platform_config, pool_timeouts};
use crate::session::{Held, LinkPool, Session, SessionTransaction};
use crate::sql::{Parameters, Sql};
use crate::tls::Tls;

/// Platform connections are few and long-lived; this only gives server memory back now and then.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// Whoever stands still in the middle of a transaction keeps others from its rows for so long.
const IDLE: Duration = Duration::from_secs(30);

/// Connections of one service to `saas_platform`.
#[derive(Clone)]
pub struct PlatformPool {
    pool: LinkPool,
    statement_timeout: Duration,
}

impl PlatformPool {
    /// A pool that connects when it is first used; `default_user` is the service's own login.
    ///
    /// # Errors
    /// Where the certificate authority named in the settings can't be read.
    pub fn new(platform: &settings::Platform, default_user: &str) -> Result<Self> {
        Self::with_options(platform, default_user, platform.max_connections, "")
    }

    /// A pool whose commits do not wait for the disk: a crash of the server may lose the last of them, whole and in order.
    /// For what is only noted down so that it need not be done again (PostgreSQL manual §30.4, asynchronous commit).
    ///
    /// # Errors
    /// Where the certificate authority named in the settings can't be read.
    pub fn without_flush(platform: &settings::Platform, default_user: &str, size: usize) -> Result<Self> {
        Self::with_options(platform, default_user, size, " -c synchronous_commit=off")
    }

    fn with_options(platform: &settings::Platform, default_user: &str, size: usize, options: &str) -> Result<Self> {
        let tls = Tls::from_settings(platform).map_err(Error::internal)?;
        let user = if platform.user.is_empty() { default_user } else { &platform.user };
        let mut config = platform_config(platform, user, default_user);
        config.password(platform.password.expose_secret());
        let limit = platform.statement_timeout.as_millis();
        let limits =
            format!("-c statement_timeout={limit} -c idle_in_transaction_session_timeout={}", IDLE.as_millis());
        config.options(format!("{limits}{options}"));
        let manager = LinkManager::new(config, &tls, MAX_LIFETIME);
        let pool = LinkPool::builder(manager)
            .max_size(size)
            // The one that was used last has the statements prepared; the others may fall idle.
            .queue_mode(QueueMode::Lifo)
            .timeouts(pool_timeouts(platform.checkout_timeout, platform.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(Error::internal)?;
        Ok(Self { pool, statement_timeout: platform.statement_timeout })
    }

    /// Borrows a connection.
    ///
    /// # Errors
    /// Unavailable, where the server does not answer or no connection comes free in time.
    pub async fn get(&self) -> Result<PlatformConnection> {
        let object = self.pool.get().await.map_err(from_pool)?;
        Ok(PlatformConnection(Session::new(Held::Platform(object), self.statement_timeout)))
    }

    /// Connections that are open, and callers that wait for one.
    pub fn load(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size, status.waiting)
    }

    /// Closes every connection; later borrowers are refused.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// A connection to `saas_platform`.
pub struct PlatformConnection(Session);

impl PlatformConnection {
    /// Begins a transaction.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn transaction(&mut self) -> Result<PlatformTransaction<'_>> {
        self.0.begin(None).await.context("beginning a platform transaction").map(PlatformTransaction)
    }
}

/// A transaction in `saas_platform`; dropping it rolls it back.
pub struct PlatformTransaction<'a>(SessionTransaction<'a>);

impl PlatformTransaction<'_> {
    /// Commits.
    ///
    /// # Errors
    /// Whatever the server says; without an answer the outcome is unknown.
    pub async fn commit(self) -> Result<()> {
        self.0.commit().await.context("committing a platform transaction")
    }
}

impl Sql for PlatformConnection {
    async fn query(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, QueryError> {
        self.0.run(None, sql, parameters).await
    }

    async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, QueryError> {
        self.0.run(None, sql, parameters).await
    }
}

impl Sql for PlatformTransaction<'_> {
    async fn query(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, QueryError> {
        self.0.run(sql, parameters).await
    }

    async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, QueryError> {
        self.0.run(sql, parameters).await
    }
}
