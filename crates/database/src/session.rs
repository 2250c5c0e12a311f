//! A borrowed connection that can't be handed on in a bad state.
//!
//! No recycling method of the pool resets a connection left inside a transaction, and a dropped
//! future leaves its statement running on the server. So the raw client never leaves this module, a
//! statement that was abandoned is cancelled, and a connection that did not end cleanly is destroyed.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use deadpool::managed::{Object, Pool};
use rowhouse_domain::TenantId;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use crate::error::QueryError;
use crate::link::LinkManager;
use crate::sql::Parameters;

pub(crate) type LinkPool = Pool<LinkManager>;

/// How long a server may take to hear that a statement is to be cancelled; it may be gone.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

/// Nothing is running: the connection may go back.
const CLEAN: u8 = 0;
/// A statement is running: to be cancelled when abandoned.
const RUNNING: u8 = 1;
/// A commit is running: never to be cancelled, its outcome is unknown when abandoned.
const COMMITTING: u8 = 2;
/// The connection must not be used again.
const BROKEN: u8 = 3;

/// What the connection is doing, as far as it has been heard of.
#[derive(Default)]
struct State(AtomicU8);

impl State {
    fn set(&self, state: u8) {
        self.0.store(state, Ordering::Release);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }

    /// Runs `work` so that an abandoned future leaves its mark behind.
    async fn track<T>(
        &self,
        state: u8,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, QueryError> {
        self.set(state);
        let result = work.await;
        let broken = result.as_ref().is_err_and(|error| {
            // A cached plan that no longer fits would fail for every later borrower too.
            error.code().is_none_or(|code| *code == SqlState::FEATURE_NOT_SUPPORTED)
        });
        self.set(if broken { BROKEN } else { CLEAN });
        result.map_err(QueryError::Database)
    }
}

/// A connection on loan.
pub(crate) struct Session {
    object: Option<Object<LinkManager>>,
    state: State,
    /// Asked at the end whether the connection should rather be closed than kept idle.
    wanted_elsewhere: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Session {
    pub(crate) fn new(
        object: Object<LinkManager>,
        wanted_elsewhere: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { object: Some(object), state: State::default(), wanted_elsewhere: Box::new(wanted_elsewhere) }
    }

    fn object(&self) -> &Object<LinkManager> {
        self.object.as_ref().expect("the object is taken only when the session is dropped")
    }

    pub(crate) async fn query(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, QueryError> {
        let client = &self.object().client;
        self.state
            .track(RUNNING, async {
                let statement = client.prepare_cached(sql).await?;
                client.query(&statement, parameters).await
            })
            .await
    }

    pub(crate) async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, QueryError> {
        let client = &self.object().client;
        self.state
            .track(RUNNING, async {
                let statement = client.prepare_cached(sql).await?;
                client.execute(&statement, parameters).await
            })
            .await
    }

    /// One statement in a transaction of its own that is pinned first, all sent at once.
    ///
    /// Should the pin fail, the transaction is aborted and the server refuses what follows it.
    pub(crate) async fn query_pinned(
        &self,
        tenant: TenantId,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, QueryError> {
        let client = &self.object().client;
        let begin = begin_pinned(tenant);
        self.state
            .track(RUNNING, async {
                let statement = client.prepare_cached(sql).await?;
                let (pinned, rows, ended) = tokio::join!(
                    biased;
                    client.batch_execute(&begin),
                    client.query(&statement, parameters),
                    client.batch_execute(END),
                );
                pinned?;
                let rows = rows?;
                ended.map(|()| rows)
            })
            .await
    }

    /// The same for a statement whose rows are only counted.
    pub(crate) async fn execute_pinned(
        &self,
        tenant: TenantId,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<u64, QueryError> {
        let client = &self.object().client;
        let begin = begin_pinned(tenant);
        self.state
            .track(RUNNING, async {
                let statement = client.prepare_cached(sql).await?;
                let (pinned, count, ended) = tokio::join!(
                    biased;
                    client.batch_execute(&begin),
                    client.execute(&statement, parameters),
                    client.batch_execute(END),
                );
                pinned?;
                let count = count?;
                ended.map(|()| count)
            })
            .await
    }

    /// Begins a transaction; one that is pinned to a tenant where the session as such is not.
    pub(crate) async fn begin(&mut self, pin: Option<TenantId>) -> Result<SessionTransaction<'_>, QueryError> {
        let object = self.object.as_mut().expect("the object is taken only when the session is dropped");
        let transaction = self
            .state
            .track(RUNNING, async {
                let transaction = object.client.transaction().await?;
                if let Some(tenant) = pin {
                    transaction.batch_execute(&set_pin(tenant)).await?;
                }
                Ok(transaction)
            })
            .await?;
        Ok(SessionTransaction { transaction, state: &self.state })
    }
}

/// Ends a transaction of one statement: commits it, or rolls it back where the statement failed.
const END: &str = "commit";

/// Begins a transaction and pins it, as one simple query. The pin ends with the transaction: `true` makes it local.
fn begin_pinned(tenant: TenantId) -> String {
    format!("begin; {}", set_pin(tenant))
}

/// A UUID's text needs no quoting.
fn set_pin(tenant: TenantId) -> String {
    format!("select set_config('app.tenant_id', '{}', true)", tenant.as_uuid())
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        let state = self.state.get();
        if state == CLEAN && !(self.wanted_elsewhere)() {
            return;
        }
        let link = Object::take(object);
        if state == RUNNING
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            metrics::counter!("rowhouse_queries_cancelled_total").increment(1);
            runtime.spawn(async move {
                let (token, tls) = link.canceller();
                match tokio::time::timeout(CANCEL_PATIENCE, tls.cancel(token)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "an abandoned statement could not be cancelled"),
                    Err(_) => tracing::debug!("the server did not take the request to cancel a statement"),
                }
                // The link, and its place in the budget, is let go only now.
                drop(link);
            });
        }
    }
}

/// A transaction on a borrowed connection; it is rolled back unless committed.
pub(crate) struct SessionTransaction<'a> {
    transaction: deadpool_postgres::Transaction<'a>,
    state: &'a State,
}

impl SessionTransaction<'_> {
    pub(crate) async fn query(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, QueryError> {
        self.state
            .track(RUNNING, async {
                let statement = self.transaction.prepare_cached(sql).await?;
                self.transaction.query(&statement, parameters).await
            })
            .await
    }

    pub(crate) async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, QueryError> {
        self.state
            .track(RUNNING, async {
                let statement = self.transaction.prepare_cached(sql).await?;
                self.transaction.execute(&statement, parameters).await
            })
            .await
    }

    /// Commits. Without an answer the outcome is unknown: nothing may be undone on an error of this.
    pub(crate) async fn commit(self) -> Result<(), QueryError> {
        self.state.track(COMMITTING, self.transaction.commit()).await
    }
}
