//! How far a run goes and how long it waits, what it tells while it is under way, and what it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::Migration;

/// What stops a backfill between two batches, which goes on there the next time, and whatever others are in the way of between two
/// tries. All else is finished that was begun.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Stops whoever runs with it.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How far to go, and how long to wait for what.
#[derive(Debug, Clone)]
pub struct Options {
    /// Stop after this version; the newest if not given. Going back takes its version as an argument instead.
    pub target: Option<u32>,
    /// How long to wait for another runner on the same schema.
    pub lock_deadline: Duration,
    /// How long to pause between two tries for its lock.
    pub lock_pause: Duration,
    /// How long a statement may wait for a table: whoever waits behind it waits as long.
    pub lock_timeout: Duration,
    /// How often a migration, or a batch of one, is tried that does not get its locks or runs into a deadlock.
    pub attempts: u32,
    /// How long to pause before the second try. It doubles each time, up to [`Options::longest_pause`].
    pub first_pause: Duration,
    /// The longest pause between two tries.
    pub longest_pause: Duration,
    /// How long a statement may take in all; no limit if not given.
    pub statement_timeout: Option<Duration>,
    /// How long a statement outside a transaction may wait, in place of `lock_timeout`. It keeps nobody else waiting meanwhile: it
    /// waits for those who began before it.
    pub concurrent_timeout: Duration,
    /// Looked at between the batches of a backfill, and before anything is tried again.
    pub stop: Stop,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            target: None,
            lock_deadline: Duration::from_secs(30),
            lock_pause: Duration::from_millis(50),
            lock_timeout: Duration::from_secs(3),
            attempts: 8,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(10),
            statement_timeout: Some(Duration::from_secs(600)),
            concurrent_timeout: Duration::from_secs(600),
            stop: Stop::default(),
        }
    }
}

/// What a run tells while it is under way.
#[derive(Debug)]
pub enum Event<'a> {
    /// A migration, or its undoing, begins.
    Begins {
        /// Which one.
        migration: &'a Migration,
    },
    /// Others hold what it needs. It is tried again after a pause.
    Waits {
        /// Which one.
        migration: &'a Migration,
        /// How often it was tried so far.
        attempt: u32,
        /// How long until the next try.
        pause: Duration,
        /// 55P03 or 40P01.
        sqlstate: &'a str,
    },
    /// A batch of a backfill is committed.
    Batch {
        /// Which one.
        migration: &'a Migration,
        /// How many rows it has taken on so far, those of earlier runs included.
        rows: u64,
    },
    /// It is applied, or undone, and the history says so.
    Ends {
        /// Which one, and how long it took.
        step: &'a Step,
    },
}

/// Whoever is told. It is called between statements, so it must not take long.
pub type Observer<'a> = &'a (dyn Fn(Event<'_>) + Send + Sync);

/// An observer that looks away.
pub fn unobserved(_: Event<'_>) {}

/// A migration that was applied or undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// How long it took, waiting for locks included.
    pub elapsed: Duration,
    /// How often it was tried; more than once where it had to wait.
    pub attempts: u32,
}

impl std::fmt::Display for Step {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "V{}__{}", self.version, self.name)
    }
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was applied or undone, in that order; nothing where there was nothing to do.
    pub steps: Vec<Step>,
    /// The schema's version after it.
    pub version: Option<u32>,
    /// How long it took, waiting for other runners included.
    pub elapsed: Duration,
}
