//! From what PostgreSQL says to what a caller is told, decided once by SQLSTATE.
//!
//! There is no `From<tokio_postgres::Error>`: a bare `?` on a statement does not compile. The caller
//! names the constraints that it expects and what it was doing.

use std::fmt;

use rowhouse_problem::{Code, Error, Result};
use tokio_postgres::error::SqlState;

/// A statement that failed and has not been described yet.
#[derive(Debug)]
pub enum QueryError {
    /// What the driver or the server reported.
    Database(tokio_postgres::Error),
    /// A failure that a caller recognised.
    Recognised(Error),
    /// A result that is not as the statement promises.
    Unexpected(String),
}

impl QueryError {
    /// The SQLSTATE, where the server gave one.
    pub fn sqlstate(&self) -> Option<&SqlState> {
        match self {
            Self::Database(error) => error.code(),
            Self::Recognised(_) | Self::Unexpected(_) => None,
        }
    }

    /// Whether the server refused because of the named constraint.
    pub fn is_constraint(&self, name: &str) -> bool {
        match self {
            Self::Database(error) => error.as_db_error().and_then(|error| error.constraint()) == Some(name),
            Self::Recognised(_) | Self::Unexpected(_) => false,
        }
    }

    fn describe(self, doing: &str) -> Error {
        match self {
            Self::Recognised(error) => error,
            Self::Unexpected(what) => Error::internal(format!("{doing}: {what}")),
            Self::Database(error) => {
                let class = classify(&error);
                let cause = While { doing: doing.to_owned(), source: error };
                match class {
                    Class::Unavailable => Error::unavailable(cause),
                    Class::Deadline => {
                        Error::new(Code::DeadlineExceeded, "The database took too long. Try again later.")
                            .caused_by(cause)
                    }
                    Class::Full => {
                        Error::new(Code::InsufficientStorage, "The database has no room left.").caused_by(cause)
                    }
                    Class::Internal => Error::internal(cause),
                }
            }
        }
    }
}

/// The SQLSTATE of the server's answer that an error goes back to, where there is one.
pub fn sqlstate_behind(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(state) = error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code) {
            return Some(state.code().to_owned());
        }
        next = error.source();
    }
    None
}

/// Whether an error goes back to a server that went away, or could not be reached: what was being done may be found as it was,
/// or done, when it is back.
pub fn is_cut_off(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<tokio::time::error::Elapsed>() {
            return true;
        }
        if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
            return match error.code() {
                // Shut down, crashed, not up again; connection exceptions.
                Some(state) => ["57P01", "57P02", "57P03"].contains(&state.code()) || state.code().starts_with("08"),
                None => is_about_the_connection(error),
            };
        }
        next = error.source();
    }
    false
}

/// The driver's error with what was being done; the driver itself prints only "db error".
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
struct While {
    doing: String,
    source: tokio_postgres::Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Unavailable,
    Deadline,
    Full,
    Internal,
}

/// Sorts by SQLSTATE class (PostgreSQL manual, appendix A).
fn classify(error: &tokio_postgres::Error) -> Class {
    let Some(state) = error.code() else {
        return if is_about_the_connection(error) { Class::Unavailable } else { Class::Internal };
    };
    match state.code() {
        "57014" => Class::Deadline,
        "53100" => Class::Full,
        // Resources (53), operator intervention (57P), connection (08), login (28), read-only (25006), no such database (3D).
        code if ["08", "28", "3D", "53", "57"].iter().any(|class| code.starts_with(class)) || code == "25006" => {
            Class::Unavailable
        }
        // A migration has just gone through, and a transaction was under way.
        "0A000" if error.as_db_error().is_some_and(|error| error.routine() == Some("RevalidateCachedQuery")) => {
            Class::Unavailable
        }
        // No such table, column, function or type. Each statement of ours is tried against the schema of its release, so this
        // schema is of another one: a migration is being taken back, or this service replaced.
        "42P01" | "42703" | "42883" | "42704" => Class::Unavailable,
        // Serialization failure and deadlock: the same request may well succeed.
        "40001" | "40P01" | "55P03" => Class::Unavailable,
        _ => Class::Internal,
    }
}

/// Whether the server is gone, or the network is; else the driver refused a value that we gave it or could not read one.
/// The driver keeps the kind of its errors to itself and shows it in their text only.
fn is_about_the_connection(error: &tokio_postgres::Error) -> bool {
    const TEXTS: [&str; 5] = [
        "connection closed",
        "error communicating with the server",
        "error connecting to server",
        "error performing TLS handshake",
        "timeout waiting for server",
    ];
    let text = error.to_string();
    error.is_closed() || TEXTS.iter().any(|known| text.starts_with(known))
}

/// Turns a statement's failure into an [`Error`], naming what was being done.
pub trait Described<T> {
    /// Says what was being done, for the log.
    ///
    /// # Errors
    /// Whatever the statement met, described.
    fn context(self, doing: &str) -> Result<T>;

    /// Says what a violated constraint means to the caller.
    #[must_use]
    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Self;
}

impl<T> Described<T> for std::result::Result<T, QueryError> {
    fn context(self, doing: &str) -> Result<T> {
        self.map_err(|error| error.describe(doing))
    }

    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Self {
        self.map_err(|failure| if failure.is_constraint(name) { QueryError::Recognised(error()) } else { failure })
    }
}

impl<T> Described<T> for std::result::Result<T, tokio_postgres::Error> {
    fn context(self, doing: &str) -> Result<T> {
        self.map_err(|error| QueryError::Database(error).describe(doing))
    }

    fn on_constraint(self, _: &str, _: impl FnOnce() -> Error) -> Self {
        self
    }
}

/// Why no connection could be had.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The server refused or did not answer.
    Connect(tokio_postgres::Error),
    /// The connection leads to another tenant's database than it should.
    Identity(String),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(_) => formatter.write_str("connecting to PostgreSQL"),
            Self::Identity(what) => write!(formatter, "refusing a connection: {what}"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Identity(_) => None,
        }
    }
}

/// Pools answer 503 whatever the reason: the caller can only wait.
pub(crate) fn from_pool(error: deadpool::managed::PoolError<ConnectError>) -> Error {
    if let deadpool::managed::PoolError::Backend(ConnectError::Identity(what)) = &error {
        tracing::error!(what, "a connection led to the wrong database");
    }
    Error::unavailable(error)
}
