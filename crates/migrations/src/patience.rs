//! Trying again what others were in the way of.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::error::Database;
use crate::transaction::BEGIN;
use crate::{Error, Event, Migration, Observer, Options, Step};

/// A lock that was not to be had in time, and a deadlock that PostgreSQL resolved against us.
const IN_THE_WAY: [&str; 2] = ["55P03", "40P01"];

/// How often somebody who pauses looks whether to go on at all.
const LOOKS_UP: Duration = Duration::from_millis(100);

/// Sessions with a lock on a table or index of the current schema, the oldest transactions first. Not what they run: it may hold
/// a tenant's data, and errors are kept and shown.
const HOLDERS: &str = "
    select 'pid ' || activity.pid
        || coalesce(' (' || nullif(concat_ws(', ', nullif(activity.application_name, ''), activity.state), '') || ')', '')
    from pg_catalog.pg_stat_activity activity
    where activity.pid <> pg_backend_pid() and exists (
        select from pg_catalog.pg_locks held
        join pg_catalog.pg_class class on class.oid = held.relation
        join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
        where held.pid = activity.pid and held.granted and held.locktype = 'relation'
            and held.database = (select oid from pg_catalog.pg_database where datname = current_database())
            and namespace.nspname = current_schema())
    order by activity.xact_start nulls last, activity.pid
    limit 5";

/// How often one piece of work was tried, and how long to wait before the next try.
pub(crate) struct Patience<'a> {
    client: &'a Client,
    migration: &'a Migration,
    /// How the work is called in an error.
    label: String,
    /// The text that its first message has, which positions in errors are counted in.
    sql: &'a str,
    /// Letters of the message before it.
    before: usize,
    options: &'a Options,
    observer: Observer<'a>,
    started: Instant,
    attempts: u32,
    attempts_in_all: u32,
}

impl<'a> Patience<'a> {
    /// Work on a migration begins, and the observer is told.
    pub(crate) fn begin(
        client: &'a Client,
        (migration, label, sql): (&'a Migration, String, &'a str),
        options: &'a Options,
        observer: Observer<'a>,
    ) -> Self {
        observer(Event::Begins { migration });
        Self {
            client,
            migration,
            label,
            sql,
            before: BEGIN.len(),
            options,
            observer,
            started: Instant::now(),
            attempts: 1,
            attempts_in_all: 1,
        }
    }

    /// Waits, if it may help to try again; otherwise gives the error that is final.
    pub(crate) async fn wait_after(&mut self, error: Database) -> Result<(), Error> {
        let sqlstate = error.sqlstate().unwrap_or_default();
        if !IN_THE_WAY.contains(&sqlstate.as_str()) {
            return Err(error.into_failed(self.label.clone(), self.sql, self.before));
        }
        if self.attempts >= self.options.attempts {
            let holders = self.holders().await;
            return Err(error.into_timed_out(self.label.clone(), self.attempts, holders));
        }
        let doublings = 2u32.saturating_pow(self.attempts - 1);
        let pause = self.options.first_pause.saturating_mul(doublings).min(self.options.longest_pause);
        (self.observer)(Event::Waits { migration: self.migration, attempt: self.attempts, pause, sqlstate: &sqlstate });
        if self.is_stopped_within(pause).await {
            return Err(Error::LeftOff { migration: self.label.clone(), attempts: self.attempts });
        }
        self.attempts += 1;
        self.attempts_in_all += 1;
        Ok(())
    }

    /// Pauses, but for no longer than until somebody wants it to be left.
    async fn is_stopped_within(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while !self.is_stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            tokio::time::sleep(left.min(LOOKS_UP)).await;
        }
        true
    }

    /// Somebody wants what can be done later to be left.
    pub(crate) fn is_stopped(&self) -> bool {
        self.options.stop.is_asked()
    }

    /// What follows is sent as it is, outside a transaction.
    pub(crate) fn be_outside(&mut self) {
        self.before = 0;
    }

    /// A part is done; the next has all its tries ahead.
    pub(crate) fn renew(&mut self) {
        self.attempts = 1;
    }

    /// The work is done, and the observer is told.
    pub(crate) fn end(self) -> Step {
        let step = Step {
            version: self.migration.version,
            name: self.migration.name.clone(),
            elapsed: self.elapsed(),
            attempts: self.attempts_in_all,
        };
        (self.observer)(Event::Ends { step: &step });
        step
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Best effort: who is in the way is worth a look, and no error of its own.
    async fn holders(&self) -> Vec<String> {
        let rows = self.client.query_typed(HOLDERS, &[]).await.unwrap_or_default();
        rows.iter().filter_map(|row| row.try_get(0).ok()).collect()
    }
}
