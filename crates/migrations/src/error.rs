//! What can go wrong while migrating, with the migration and the SQLSTATE named.

use std::error::Error as StdError;
use std::time::Duration;

use crate::Migration;

/// Why a set could not be applied or taken back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another runner is at work on the same schema.
    #[error("another migration run holds the lock, also after {waited:?}{}", held_by(.holder.as_slice()))]
    Locked {
        /// How long this one tried.
        waited: Duration,
        /// Its session and since when it is there, as far as PostgreSQL tells.
        holder: Option<String>,
    },
    /// PostgreSQL refused a migration; of one in a transaction nothing is left behind.
    #[error("{migration} failed{}{}", in_line(*.line), in_brackets(.sqlstate.as_deref()))]
    Failed {
        /// `V3__keys`, or `the undo of V3__keys`.
        migration: String,
        /// The line of its file that the server points to.
        line: Option<usize>,
        /// The SQLSTATE, where the server answered at all.
        sqlstate: Option<String>,
        /// What the server or the connection said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Others held what a migration needs, each time that it was tried.
    #[error("{migration} timed out waiting for a lock, {attempts} times{}{}",
        in_brackets(Some(.sqlstate)), held_by(.holders))]
    TimedOut {
        /// `V3__keys`, or `the undo of V3__keys`.
        migration: String,
        /// How often it was tried.
        attempts: u32,
        /// 55P03, a lock that was not to be had in time, or 40P01, a deadlock.
        sqlstate: String,
        /// Who held locks in the schema right after the last try, as far as PostgreSQL tells.
        holders: Vec<String>,
        /// What the server said the last time.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// What is recorded as applied is not what this build has.
    #[error("V{version}__{name} {how}: applied with checksum {}, in this build {}",
        or_none(*.applied), or_none(*.build))]
    Divergent {
        /// In which way.
        how: Divergence,
        /// The migration's number.
        version: u32,
        /// Its name, in the history where it is there.
        name: String,
        /// The checksum in the history; none where it was not applied.
        applied: Option<u64>,
        /// The checksum in this build; none where it is not part of it.
        build: Option<u64>,
    },
    /// A row of the history table that refinery can't have written.
    #[error("the history row of version {version} is damaged: {detail}")]
    DamagedHistory {
        /// The row's version.
        version: i32,
        /// What is wrong with it.
        detail: String,
    },
    /// The search path names no schema that exists, so there is none to migrate.
    #[error("the search path names no schema that exists")]
    NoSchema,
    /// One of the migrations to take back can't be; nothing was done.
    #[error("{migration} can't be undone: {reason}")]
    Irreversible {
        /// Which one.
        migration: String,
        /// It has no undo file, or what that says.
        reason: String,
    },
    /// A backfill can't be walked through as it is written, or was begun with another text.
    #[error("{migration} can't go on: {reason}")]
    Backfill {
        /// Which one.
        migration: String,
        /// What stands in the way.
        reason: String,
    },
    /// A backfill was stopped between two batches, because somebody asked. It goes on there the next time.
    #[error("{migration} was stopped after {rows} rows, and goes on there")]
    Stopped {
        /// Which one.
        migration: String,
        /// How many it has taken on so far, those of earlier runs included.
        rows: u64,
    },
    /// Somebody asked for it to be stopped while others were in its way. Nothing of it is left, or what can be repeated.
    #[error("{migration} was stopped: others were in its way {attempts} times, and it is tried again later")]
    LeftOff {
        /// Which one.
        migration: String,
        /// How often it was tried.
        attempts: u32,
    },
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

/// In which way a history does not fit a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divergence {
    /// The same number, another name or text.
    Changed,
    /// The build has no such number, though it has higher ones.
    Missing,
    /// Its number is beyond the build's newest.
    Newer,
    /// Not applied, though a later one is.
    Skipped,
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Changed => "was changed after it was applied",
            Self::Missing => "was applied and is missing in this build",
            Self::Newer => "was applied and is newer than this build",
            Self::Skipped => "was skipped",
        })
    }
}

impl Error {
    /// The SQLSTATE behind it, where PostgreSQL gave one.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Failed { sqlstate, .. } | Self::Database { sqlstate, .. } => sqlstate.as_deref(),
            Self::TimedOut { sqlstate, .. } => Some(sqlstate),
            Self::Locked { .. }
            | Self::Divergent { .. }
            | Self::DamagedHistory { .. }
            | Self::NoSchema
            | Self::Irreversible { .. }
            | Self::Backfill { .. }
            | Self::Stopped { .. }
            | Self::LeftOff { .. } => None,
        }
    }

    pub(crate) fn database(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Database { doing, sqlstate: find(&source).and_then(sqlstate), source: Box::new(source) }
    }

    pub(crate) fn backfill(migration: &Migration, reason: impl Into<String>) -> Self {
        Self::Backfill { migration: migration.to_string(), reason: reason.into() }
    }
}

/// What came of a migration's own statements, before it is decided whether to try again.
#[derive(Debug)]
pub(crate) struct Database(Box<dyn StdError + Send + Sync>);

impl From<tokio_postgres::Error> for Database {
    fn from(error: tokio_postgres::Error) -> Self {
        Self(Box::new(error))
    }
}

impl Database {
    /// Takes refinery's error apart. Its own part is a sentence, and the chain behind it is what matters.
    pub(crate) fn from_refinery(error: refinery::Error) -> Self {
        Self(Box::new(error))
    }

    pub(crate) fn sqlstate(&self) -> Option<String> {
        find(&*self.0).and_then(sqlstate)
    }

    /// Where in the message that was sent.
    fn position(&self) -> Option<u32> {
        match find(&*self.0)?.as_db_error()?.position()? {
            tokio_postgres::error::ErrorPosition::Original(position) => Some(*position),
            tokio_postgres::error::ErrorPosition::Internal { .. } => None,
        }
    }

    /// Final: `sql` was in the message behind as many letters as `before` says.
    pub(crate) fn into_failed(self, migration: String, sql: &str, before: usize) -> Error {
        let line = self.position().and_then(|position| line_in(sql, before, position));
        Error::Failed { migration, line, sqlstate: self.sqlstate(), source: self.0 }
    }

    pub(crate) fn into_timed_out(self, migration: String, attempts: u32, holders: Vec<String>) -> Error {
        let sqlstate = self.sqlstate().unwrap_or_default();
        Error::TimedOut { migration, attempts, sqlstate, holders, source: self.0 }
    }
}

/// The line of a text that a position in the message around it points to, counted from one.
fn line_in(sql: &str, before: usize, position: u32) -> Option<usize> {
    let offset = usize::try_from(position).ok()?.checked_sub(1)?.checked_sub(before)?;
    (offset <= sql.chars().count()).then(|| sql.chars().take(offset).filter(|letter| *letter == '\n').count() + 1)
}

/// Looks for PostgreSQL's answer behind whatever wraps it.
fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a tokio_postgres::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn sqlstate(error: &tokio_postgres::Error) -> Option<String> {
    error.code().map(|state| state.code().to_owned())
}

fn in_brackets(sqlstate: Option<&str>) -> String {
    sqlstate.map(|state| format!(" (SQLSTATE {state})")).unwrap_or_default()
}

fn in_line(line: Option<usize>) -> String {
    line.map(|line| format!(" in line {line}")).unwrap_or_default()
}

fn held_by(holders: &[String]) -> String {
    if holders.is_empty() { String::new() } else { format!("; held by {}", holders.join(", ")) }
}

fn or_none(checksum: Option<u64>) -> String {
    checksum.map_or_else(|| "none".to_owned(), |checksum| checksum.to_string())
}
