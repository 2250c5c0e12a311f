//! What can go wrong while migrating, with the migration and the SQLSTATE named.

use std::error::Error as StdError;
use std::time::Duration;

/// Why a set could not be applied or taken back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another runner is at work on the same schema.
    #[error("another migration run holds the lock, also after {waited:?}")]
    Locked {
        /// How long this one tried.
        waited: Duration,
    },
    /// PostgreSQL refused a migration; it left nothing behind.
    #[error("migration {migration} failed{}", in_brackets(.sqlstate.as_deref()))]
    Failed {
        /// `V3__keys` for one.
        migration: String,
        /// The SQLSTATE, where the server answered at all.
        sqlstate: Option<String>,
        /// What the server or the connection said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// What is recorded as applied is not what this program has: a changed, missing or newer migration.
    #[error("the schema's history does not fit this build: {detail}")]
    Divergent {
        /// Which migration, and how.
        detail: String,
    },
    /// A row of the history table that refinery can't have written.
    #[error("the history row of version {version} is damaged: {detail}")]
    DamagedHistory {
        /// The row's version.
        version: i32,
        /// What is wrong with it.
        detail: String,
    },
    /// No migration is applied, or none that this program could take back.
    #[error("there is nothing to undo")]
    NothingToUndo,
    /// A statement around the migrations failed: the lock, the time limits, the history.
    #[error("{doing} failed{}", in_brackets(.sqlstate.as_deref()))]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The SQLSTATE, where the server answered at all.
        sqlstate: Option<String>,
        /// What the server or the connection said.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl Error {
    /// The SQLSTATE behind it, where PostgreSQL gave one.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Failed { sqlstate, .. } | Self::Database { sqlstate, .. } => sqlstate.as_deref(),
            Self::Locked { .. } | Self::Divergent { .. } | Self::DamagedHistory { .. } | Self::NothingToUndo => None,
        }
    }

    pub(crate) fn database(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Database { doing, sqlstate: find_sqlstate(&source), source: Box::new(source) }
    }

    pub(crate) fn failed(migration: String, source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Failed { migration, sqlstate: find_sqlstate(&source), source: Box::new(source) }
    }

    /// Takes refinery's error apart. It names the migration in a sentence only.
    pub(crate) fn from_refinery(error: refinery::Error) -> Self {
        use refinery::error::Kind;
        let migration = match error.kind() {
            Kind::Connection(message, _) => message.strip_prefix("error applying migration ").map(str::to_owned),
            Kind::DivergentVersion(..)
            | Kind::MissingVersion(_)
            | Kind::RepeatedVersion(_)
            | Kind::InvalidName
            | Kind::InvalidVersion
            | Kind::InvalidMigrationPath(..)
            | Kind::InvalidMigrationFile(..)
            | Kind::ConfigError(_) => return Self::Divergent { detail: error.to_string() },
        };
        match migration {
            Some(migration) => Self::failed(migration, error),
            None => Self::Database {
                doing: "reading the history of migrations",
                sqlstate: find_sqlstate(&error),
                source: Box::new(error),
            },
        }
    }
}

/// Looks for PostgreSQL's answer behind whatever wraps it.
fn find_sqlstate(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(state) = error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code) {
            return Some(state.code().to_owned());
        }
        next = error.source();
    }
    None
}

fn in_brackets(sqlstate: Option<&str>) -> String {
    sqlstate.map(|state| format!(" (SQLSTATE {state})")).unwrap_or_default()
}
