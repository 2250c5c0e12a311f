//! A borrowed connection that can't be handed on in a bad state.
//!
//! No recycling method of the pool resets a connection left inside a transaction, and a dropped
//! future leaves its statement running on the server. So the raw client never leaves this module, a
//! statement that was abandoned is cancelled, and a connection that did not end cleanly is destroyed.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use deadpool::managed::{Object, Pool};
use deadpool_postgres::ClientWrapper;
use rowhouse_domain::TenantId;
use rowhouse_problem::Error;
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::{Row, Statement};

use crate::error::QueryError;
use crate::link::LinkManager;
use crate::sql::Parameters;
use crate::tenants::Loan;

pub(crate) type LinkPool = Pool<LinkManager>;

/// Nothing is running: the connection may go back.
const CLEAN: u8 = 0;
/// A statement is running: to be cancelled when abandoned.
const RUNNING: u8 = 1;
/// A commit is running: never to be cancelled, its outcome is unknown when abandoned.
const COMMITTING: u8 = 2;
/// The connection must not be used again.
const BROKEN: u8 = 3;

/// A server's own limit comes first, where the server is still there to keep it.
const GRACE: Duration = Duration::from_secs(1);

/// What the connection is doing, as far as it has been heard of.
struct State {
    doing: AtomicU8,
    /// How long any one thing may take.
    patience: Duration,
}

impl State {
    fn set(&self, state: u8) {
        self.doing.store(state, Ordering::Release);
    }

    fn get(&self) -> u8 {
        self.doing.load(Ordering::Acquire)
    }

    /// Runs `work` so that an abandoned future leaves its mark behind. A server that says nothing is not waited for longer
    /// than it would have let a statement run: then the connection is as if it had been abandoned.
    async fn track<T>(
        &self,
        state: u8,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, QueryError> {
        self.set(state);
        let Ok(result) = tokio::time::timeout(self.patience, work).await else {
            let silent = Error::unavailable("the database does not answer");
            return Err(QueryError::Recognised(silent));
        };
        let broken =
            result.as_ref().is_err_and(|error| error.code().is_none() || is_stale_plan(error) || is_last(error));
        self.set(if broken { BROKEN } else { CLEAN });
        result.map_err(QueryError::Database)
    }
}

/// Whether a prepared statement no longer fits the tables: its result was given other types by a migration.
fn is_stale_plan(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED)
        && error.as_db_error().is_some_and(|error| error.routine() == Some("RevalidateCachedQuery"))
}

/// Whether the server ends the session with what it says, which the driver notices a moment later.
fn is_last(error: &tokio_postgres::Error) -> bool {
    let severity = error.as_db_error().and_then(tokio_postgres::error::DbError::parsed_severity);
    matches!(severity, Some(Severity::Fatal | Severity::Panic))
}

/// A connection and the pool that it goes back to.
pub(crate) enum Held {
    Platform(Object<LinkManager>),
    Tenant(Loan),
}

impl Held {
    fn client(&self) -> &ClientWrapper {
        match self {
            Self::Platform(object) => &object.client,
            Self::Tenant(loan) => loan.client(),
        }
    }

    fn client_mut(&mut self) -> &mut ClientWrapper {
        match self {
            Self::Platform(object) => &mut object.client,
            Self::Tenant(loan) => loan.client_mut(),
        }
    }

    /// Has the connection closed instead of lent again.
    fn abandon(self, is_running: bool) {
        match self {
            Self::Tenant(loan) => loan.abandon(is_running),
            Self::Platform(object) => {
                let link = Object::take(object);
                if is_running && let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    metrics::counter!("rowhouse_queries_cancelled_total").increment(1);
                    runtime.spawn(link.cancel());
                }
            }
        }
    }
}

/// A connection on loan.
pub(crate) struct Session {
    held: Option<Held>,
    state: State,
}

impl Session {
    /// Each statement may take `statement_timeout`, and so may a commit.
    pub(crate) fn new(held: Held, statement_timeout: Duration) -> Self {
        let state = State { doing: AtomicU8::new(CLEAN), patience: statement_timeout + GRACE };
        Self { held: Some(held), state }
    }

    fn client(&self) -> &ClientWrapper {
        self.held.as_ref().expect("the connection is taken only when the session is dropped").client()
    }

    /// Runs a statement in a transaction of its own; pinned to a tenant first where the session as such is not. Once more
    /// where what was prepared no longer fits: a migration has just gone through, and nothing was done.
    pub(crate) async fn run<A: Answer>(
        &self,
        pin: Option<TenantId>,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<A, QueryError> {
        let client = self.client();
        self.state
            .track(RUNNING, async {
                match ask(client, pin, &client.prepare_cached(sql).await?, parameters).await {
                    Err(error) if is_stale_plan(&error) => {
                        client.statement_cache.remove(sql, &[]);
                        ask(client, pin, &client.prepare_cached(sql).await?, parameters).await
                    }
                    result => result,
                }
            })
            .await
    }

    /// Begins a transaction; one that is pinned to a tenant where the session as such is not.
    pub(crate) async fn begin(&mut self, pin: Option<TenantId>) -> Result<SessionTransaction<'_>, QueryError> {
        let held = self.held.as_mut().expect("the connection is taken only when the session is dropped");
        let client = held.client_mut();
        let transaction = self
            .state
            .track(RUNNING, async {
                let transaction = client.transaction().await?;
                if let Some(tenant) = pin {
                    transaction.batch_execute(&set_pin(tenant)).await?;
                }
                Ok(transaction)
            })
            .await?;
        Ok(SessionTransaction { transaction, state: &self.state, pin, has_run: AtomicBool::new(false) })
    }
}

/// What a statement is asked for.
pub(crate) trait Answer: Sized + Send {
    fn to(
        client: &tokio_postgres::Client,
        statement: &Statement,
        parameters: Parameters<'_>,
    ) -> impl Future<Output = Result<Self, tokio_postgres::Error>> + Send;
}

impl Answer for Vec<Row> {
    async fn to(
        client: &tokio_postgres::Client,
        statement: &Statement,
        parameters: Parameters<'_>,
    ) -> Result<Self, tokio_postgres::Error> {
        client.query(statement, parameters).await
    }
}

/// The number of rows that were touched.
impl Answer for u64 {
    async fn to(
        client: &tokio_postgres::Client,
        statement: &Statement,
        parameters: Parameters<'_>,
    ) -> Result<Self, tokio_postgres::Error> {
        client.execute(statement, parameters).await
    }
}

/// One statement. A pin, it and the transaction's end are sent at once; should the pin fail, the transaction is aborted and
/// the server refuses what follows it.
async fn ask<A: Answer>(
    client: &tokio_postgres::Client,
    pin: Option<TenantId>,
    statement: &Statement,
    parameters: Parameters<'_>,
) -> Result<A, tokio_postgres::Error> {
    let Some(tenant) = pin else { return A::to(client, statement, parameters).await };
    let begin = begin_pinned(tenant);
    let (pinned, answer, ended) = tokio::join!(
        biased;
        client.batch_execute(&begin),
        A::to(client, statement, parameters),
        client.batch_execute(END),
    );
    pinned?;
    let answer = answer?;
    ended.map(|()| answer)
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
        let Some(held) = self.held.take() else { return };
        match self.state.get() {
            CLEAN => drop(held),
            state => held.abandon(state == RUNNING),
        }
    }
}

/// A transaction on a borrowed connection; it is rolled back unless committed.
pub(crate) struct SessionTransaction<'a> {
    transaction: deadpool_postgres::Transaction<'a>,
    state: &'a State,
    pin: Option<TenantId>,
    /// Whether a statement has been run in it.
    has_run: AtomicBool,
}

impl SessionTransaction<'_> {
    /// Runs a statement. Where what was prepared no longer fits, the transaction is over: if nothing was done in it, it is
    /// begun again, else the caller is asked to come back.
    pub(crate) async fn run<A: Answer>(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<A, QueryError> {
        let is_first = !self.has_run.swap(true, Ordering::AcqRel);
        let client = self.transaction.client();
        self.state
            .track(RUNNING, async {
                match A::to(client, &self.transaction.prepare_cached(sql).await?, parameters).await {
                    Err(error) if is_first && is_stale_plan(&error) => {
                        self.transaction.statement_cache.remove(sql, &[]);
                        self.begin_again().await?;
                        A::to(client, &self.transaction.prepare_cached(sql).await?, parameters).await
                    }
                    result => result,
                }
            })
            .await
    }

    async fn begin_again(&self) -> Result<(), tokio_postgres::Error> {
        let pin = self.pin.map(set_pin).unwrap_or_default();
        self.transaction.batch_execute(&format!("rollback; begin; {pin}")).await
    }

    /// Commits. Without an answer the outcome is unknown: nothing may be undone on an error of this.
    pub(crate) async fn commit(self) -> Result<(), QueryError> {
        self.state.track(COMMITTING, self.transaction.commit()).await
    }
}
