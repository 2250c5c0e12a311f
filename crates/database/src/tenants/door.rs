//! How connections of one login to one database are opened.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use deadpool_postgres::ClientWrapper;
use rowhouse_domain::ClusterId;
use tokio::task::JoinHandle;

use super::drivers::of_one_thread;
use super::identity::Identity;
use super::ledger::{Connection, Failure, PoolId};
use crate::cancel;
use crate::error::ConnectError;
#[cfg(doc)]
use crate::link::SERVER_KEEPALIVES;
use crate::link::jittered;
use crate::tls::Tls;
use crate::wire::{self, Carried, ConnectFailure, Ending, Wire};

/// How long a server may take to end a session that said goodbye; then the connection is cut.
const CLOSE_PATIENCE: Duration = Duration::from_secs(20);
/// How much later than we a server gives up a connection between which and us nothing passes, as [`SERVER_KEEPALIVES`] have it.
const LAG: Duration = Duration::from_secs(15);
/// By default a server ends a log-in after this that its client does not complete (PostgreSQL manual, `authentication_timeout`).
const LOG_IN_PATIENCE: Duration = Duration::from_secs(60);
/// Sessions of one login that came to nothing and have not ended yet, beyond which no other is begun. A database that lets nobody
/// in would otherwise have the places of all.
const LINGERING: usize = 2;

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// By one attempt.
    Calmly,
    /// As soon as it can be: it has not answered for a while.
    Eagerly,
}

/// Opens connections of one login to one database.
pub(crate) struct Door {
    pub(super) id: PoolId,
    cluster: ClusterId,
    host: String,
    port: u16,
    config: tokio_postgres::Config,
    tls: Tls,
    identity: Identity,
    connect_timeout: Duration,
    max_lifetime: Duration,
    is_retired: AtomicBool,
    /// Sessions that came to nothing and have not ended yet.
    lingering: AtomicUsize,
    /// Why it was last found shut.
    complaint: Mutex<Option<String>>,
}

/// What a door needs to know.
pub(super) struct Way {
    pub(super) cluster: ClusterId,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) config: tokio_postgres::Config,
    pub(super) tls: Tls,
    pub(super) identity: Identity,
    pub(super) connect_timeout: Duration,
    pub(super) max_lifetime: Duration,
}

impl Door {
    pub(super) fn new(id: PoolId, way: Way) -> Self {
        let Way { cluster, host, port, mut config, tls, identity, connect_timeout, max_lifetime } = way;
        tls.apply(&mut config);
        Self {
            id,
            cluster,
            host,
            port,
            config,
            tls,
            identity,
            connect_timeout,
            max_lifetime,
            is_retired: AtomicBool::new(false),
            lingering: AtomicUsize::new(0),
            complaint: Mutex::new(None),
        }
    }

    /// Opens a connection and makes sure that it leads where it should.
    pub(super) async fn open(self: &Arc<Self>, reach: Reach) -> Result<TenantLink, Shut> {
        let begun = Instant::now();
        let outcome = self.try_to_open(reach, begun).await;
        metrics::histogram!("rowhouse_connect_seconds", "cluster" => self.cluster.to_string())
            .record(begun.elapsed().as_secs_f64());
        outcome.map_err(|(why, rest)| {
            let text = why.to_string();
            if matches!(why, Why::Identity(ConnectError::Identity(_))) {
                tracing::error!(why = text, "a connection led to the wrong database");
            } else {
                tracing::warn!(why = text, "a tenant's connection could not be opened");
            }
            *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
            Shut { failure: why.failure(), rest }
        })
    }

    async fn try_to_open(self: &Arc<Self>, reach: Reach, begun: Instant) -> Result<TenantLink, (Why, Option<Rest>)> {
        if self.lingering.load(Ordering::Acquire) >= LINGERING {
            return Err((Why::Clogged, None));
        }
        let left = || self.connect_timeout.saturating_sub(begun.elapsed());
        let reached = async {
            match reach {
                Reach::Calmly => Wire::open(&self.host, self.port).await,
                Reach::Eagerly => Wire::open_eagerly(&self.host, self.port).await,
            }
        };
        let reached = tokio::time::timeout(left(), reached).await.map_err(|_| (Why::Silent, None))?;
        let wire = reached.map_err(|error| (Why::Connect(ConnectFailure::Network(error)), None))?;
        let has_heard = wire.has_heard();
        let mut log_in = self.log_in(wire);
        let Ok(logged_in) = tokio::time::timeout(left(), &mut log_in).await else {
            // A server that has not said a word has not asked for the password either: what it may still begin ends at once.
            let rest = has_heard.load(Ordering::Acquire).then(|| Rest::new(self, Remains::LoggingIn(log_in)));
            return Err((Why::Silent, rest));
        };
        let (client, task) = logged_in.map_err(|failure| (Why::Connect(failure), None))?;
        // The wrapper would cut the connection when it is dropped; it is to end properly.
        let client = ClientWrapper::new(client, tokio::spawn(async {}));
        let expires = Instant::now() + jittered(self.max_lifetime);
        let driver = of_one_thread().map(|(thread, _)| thread);
        let link = TenantLink { client, task, expires, driver, door: Arc::clone(self) };
        match tokio::time::timeout(left(), self.identity.verify(&link.client)).await {
            Ok(Ok(())) => Ok(link),
            Ok(Err(error)) => Err((Why::Identity(error), Some(Rest::new(self, Remains::Open(link))))),
            Err(_) => {
                link.cancel().await;
                Err((Why::Stuck, Some(Rest::new(self, Remains::Open(link)))))
            }
        }
    }

    fn log_in(self: &Arc<Self>, wire: Wire) -> LogIn {
        let door = Arc::clone(self);
        Box::pin(async move { wire::log_in(wire, &door.config, &door.host, &door.tls).await })
    }

    /// Why no connection could be opened last.
    pub(super) fn complaint(&self) -> String {
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        complaint.clone().unwrap_or_else(|| "the database refuses connections".to_owned())
    }

    /// Whether it is to be used no more.
    pub(super) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }
}

/// What came of opening a connection in vain.
pub(super) struct Shut {
    pub(super) failure: Failure,
    /// A session that there is nevertheless, or may come to be, and that is to be closed.
    pub(super) rest: Option<Rest>,
}

type LogIn = Pin<Box<dyn Future<Output = Result<Carried, ConnectFailure>> + Send>>;

/// What is left of opening a connection in vain. Nobody knows when it ends.
pub(super) struct Rest {
    remains: Remains,
    door: Arc<Door>,
}

enum Remains {
    /// A session.
    Open(TenantLink),
    /// A log-in that the server has begun and may yet complete. Were it cut now, the session would still come to be, and count.
    LoggingIn(LogIn),
}

impl Rest {
    fn new(door: &Arc<Door>, remains: Remains) -> Self {
        door.lingering.fetch_add(1, Ordering::AcqRel);
        Self { remains, door: Arc::clone(door) }
    }

    /// The pool that it is of.
    pub(super) fn pool(&self) -> PoolId {
        self.door.id
    }

    /// Returns when there is no session any more.
    pub(super) async fn close(self) {
        match self.remains {
            Remains::Open(link) => link.close().await,
            Remains::LoggingIn(log_in) => match tokio::time::timeout(LOG_IN_PATIENCE, log_in).await {
                Ok(Ok((client, task))) => end(client, task).await,
                Ok(Err(failure)) if failure.is_silence() => tokio::time::sleep(LAG).await,
                Ok(Err(_)) => {}
                Err(_) => {
                    tracing::warn!("a server completed no log-in and ended none; the connection is cut");
                    tokio::time::sleep(LAG).await;
                }
            },
        }
        self.door.lingering.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("{}", explain(.0))]
    Connect(#[from] ConnectFailure),
    #[error("{0}")]
    Identity(ConnectError),
    #[error("the server accepts connections and says nothing")]
    Silent,
    #[error("the database lets in, and then says nothing")]
    Stuck,
    #[error("the database has not let go of connections that came to nothing")]
    Clogged,
}

impl Why {
    /// What it says of the cluster (PostgreSQL manual, appendix A, error codes).
    fn failure(&self) -> Failure {
        let error = match self {
            Self::Silent | Self::Connect(ConnectFailure::Network(_)) => return Failure::Unreachable,
            // What let us in is there; something in this database is locked, or its pooler waits for it.
            Self::Stuck => return Failure::Silent,
            // Nothing was tried.
            Self::Clogged => return Failure::Gone,
            Self::Identity(ConnectError::Identity(_)) => return Failure::Refused,
            Self::Connect(ConnectFailure::Server(error)) | Self::Identity(ConnectError::Connect(error)) => error,
        };
        let Some(database) = error.as_db_error() else { return Failure::Unreachable };
        match database.code().code() {
            // The same code stands for the limit of a login and of a database; the server's function tells them apart.
            "53300" if !is_limit_of_login_or_database(database.routine()) => Failure::Full,
            "53300" => Failure::Crowded,
            // PostgreSQL names the function that complains, PgBouncer does not, and it says this of a single database too.
            code if code.starts_with("08") && database.routine().is_none() => Failure::Refused,
            code if code.starts_with("57P") || code.starts_with("08") || code.starts_with("53") => Failure::Unreachable,
            _ => Failure::Refused,
        }
    }
}

fn is_limit_of_login_or_database(routine: Option<&str>) -> bool {
    matches!(routine, Some("InitializeSessionUserId" | "CheckMyDatabase"))
}

/// The error with its causes; the driver itself prints only "db error".
fn explain(failure: &ConnectFailure) -> String {
    let mut text = failure.to_string();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// An open connection.
pub(crate) struct TenantLink {
    pub(crate) client: ClientWrapper,
    /// Done when the server has let go of the connection, or when nobody knows.
    task: JoinHandle<Ending>,
    expires: Instant,
    /// The thread that its task runs on, where that is always the same.
    driver: Option<ThreadId>,
    /// What it was opened through.
    door: Arc<Door>,
}

impl Connection for TenantLink {
    fn is_spent(&self, now: Instant) -> bool {
        self.expires <= now || self.client.is_closed()
    }

    type Thread = ThreadId;

    fn driver(&self) -> Option<ThreadId> {
        self.driver
    }
}

impl TenantLink {
    /// The pool that it is of.
    pub(super) fn pool(&self) -> PoolId {
        self.door.id
    }

    /// Asks the server to end what the connection is running.
    pub(super) async fn cancel(&self) {
        let Door { host, port, tls, .. } = &*self.door;
        let token = self.client.cancel_token();
        cancel::in_time(wire::cancel(token, host, *port, tls)).await;
    }

    /// Says goodbye, and returns when the server's session is gone. A statement that still runs is waited for; where nothing
    /// more is heard, so is the moment at which the server must have noticed the same.
    pub(super) async fn close(self) {
        end(self.client, self.task).await;
    }
}

/// Lets go of a client, and returns when the server's session is gone.
async fn end<T>(client: T, mut task: JoinHandle<Ending>) {
    drop(client);
    match tokio::time::timeout(CLOSE_PATIENCE, &mut task).await {
        // A task that went with its thread has closed the connection.
        Ok(Ok(Ending::Seen) | Err(_)) => {}
        Ok(Ok(Ending::Silence)) => tokio::time::sleep(LAG).await,
        Err(_) => {
            tracing::warn!("a server did not end a session; the connection is cut");
            task.abort();
            tokio::time::sleep(LAG).await;
        }
    }
}
