//! Tries out what a run would do, in one transaction that is rolled back, and sees which locks it takes.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Oid, Type};

use crate::error::Database;
use crate::session::in_milliseconds;
use crate::{Error, Kind, Migration, Migrations, Options, history, session};

/// What there is before it: locks on what it makes itself keep nobody waiting.
const RELATIONS: &str = "select oid from pg_catalog.pg_class
    where relnamespace = (select oid from pg_catalog.pg_namespace where nspname = current_schema())";
const LOCKS: &str = "
    select class.oid, class.relname::text, held.mode
    from pg_catalog.pg_locks held join pg_catalog.pg_class class on class.oid = held.relation
    where held.pid = pg_backend_pid() and held.locktype = 'relation' and held.granted
        and class.relkind in ('r', 'p', 'v', 'm', 'S')
        and held.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    order by class.relname, held.mode";
const SET_LIMITS: &str = "
    select set_config('statement_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $1, true)";

/// Before a statement that still runs is ended once more.
const BETWEEN_CANCELS: Duration = Duration::from_millis(50);

/// Ends what the connection of a rehearsal is running: only whoever has opened it knows how it is secured.
pub type Cancel<'a> = &'a (dyn Fn() -> BoxFuture<'a, ()> + Send + Sync);

/// How a rehearsal went.
#[derive(Debug)]
pub struct Rehearsal {
    /// By migration, up to the first that fails.
    pub steps: Vec<RehearsedStep>,
    /// How long the transaction was open: as long it may have kept others waiting.
    pub elapsed: Duration,
}

/// What became of one migration.
#[derive(Debug)]
pub struct RehearsedStep {
    /// Its number.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// How long it took, which is how long it would hold its locks at most.
    pub elapsed: Duration,
    /// Locks in the way of others that it takes on what was there before, and none before it in this rehearsal did.
    pub locks: Vec<HeldLock>,
    /// Whether it works.
    pub outcome: Outcome,
}

/// A lock that keeps others waiting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeldLock {
    /// The table, view or sequence.
    pub relation: String,
    /// `AccessExclusiveLock` for one, as PostgreSQL calls it.
    pub mode: String,
    /// Whether those who only read wait too.
    pub blocks_reads: bool,
}

/// Whether a migration works.
#[derive(Debug)]
pub enum Outcome {
    /// It does.
    Works,
    /// It does not run in a transaction, or in too many: those behind it may miss what it does.
    Skipped,
    /// It does not, or took longer than the rehearsal may (SQLSTATE 57014).
    Fails(Error),
}

/// Tries out what [`run`](crate::run) would do, within `most` of time for all of it, and leaves nothing behind.
///
/// On a live schema it holds its locks until the end. When the time is up `cancel` is called, which has to end what the
/// connection is running from outside, as often as it takes: the server's own limit is for each of a migration's statements.
/// A lock that is not to be had in `lock_timeout` is not tried for again: then the migration fails with 55P03.
///
/// A request to cancel may arrive late: a connection on which one was sent is good for nothing but being closed.
///
/// # Errors
/// As [`run`](crate::run), but for a migration that fails, which is an outcome.
pub async fn rehearse(
    client: &mut Client,
    migrations: &Migrations,
    options: &Options,
    most: Duration,
    cancel: Cancel<'_>,
) -> Result<Rehearsal, Error> {
    let client = &*client;
    let history = session::begin(client, migrations.set(), options).await?.unwrap_or_default();
    let steps = within(client, migrations, &history, options, Cap { most, cancel }).await;
    let result = match roll_back(client).await {
        Ok(()) => steps,
        Err(error) => steps.and(Err(Error::database("rolling back a rehearsal")(error))),
    };
    session::end(client, migrations.set()).await;
    result
}

/// However late a request to cancel comes: each can end one statement.
async fn roll_back(client: &Client) -> Result<(), tokio_postgres::Error> {
    loop {
        match client.batch_execute("rollback").await {
            Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {}
            result => return result,
        }
    }
}

async fn within(
    client: &Client,
    migrations: &Migrations,
    applied: &[history::Applied],
    options: &Options,
    cap: Cap<'_>,
) -> Result<Rehearsal, Error> {
    const DOING: &str = "beginning a rehearsal";
    history::compare(applied, migrations)?;
    let first = applied.last().map_or(0, |row| row.version) + 1;
    let last = options.target.unwrap_or(u32::MAX);
    let pending: Vec<&Migration> =
        migrations.list().iter().filter(|migration| (first..=last).contains(&migration.version)).collect();
    client.batch_execute("begin").await.map_err(Error::database(DOING))?;
    let started = Instant::now();
    let rows = client.query_typed(RELATIONS, &[]).await.map_err(Error::database(DOING))?;
    let before: HashSet<Oid> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
    let mut seen: HashSet<HeldLock> = HashSet::new();
    let mut steps: Vec<RehearsedStep> = Vec::new();
    for (index, migration) in pending.iter().enumerate() {
        let step_started = Instant::now();
        let is_last = index + 1 == pending.len();
        let outcome = match migration.kind {
            Kind::Transactional => {
                let left = cap.most.saturating_sub(started.elapsed());
                attempt(client, migration, Cap { most: left, ..cap }, is_last).await
            }
            Kind::NoTransaction | Kind::Backfill(_) => Outcome::Skipped,
        };
        let elapsed = step_started.elapsed();
        let locks = match outcome {
            Outcome::Works => locks(client, &before).await?,
            Outcome::Skipped | Outcome::Fails(_) => Vec::new(),
        };
        let locks = locks.into_iter().filter(|lock| seen.insert(lock.clone())).collect();
        let is_over = matches!(outcome, Outcome::Fails(_));
        let (version, name) = (migration.version, migration.name.clone());
        steps.push(RehearsedStep { version, name, elapsed, locks, outcome });
        if is_over {
            break;
        }
    }
    Ok(Rehearsal { steps, elapsed: started.elapsed() })
}

/// How long something may take, and how it is ended then.
#[derive(Clone, Copy)]
struct Cap<'a> {
    most: Duration,
    cancel: Cancel<'a>,
}

impl Cap<'_> {
    async fn keep<T>(self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut wait = self.most;
        loop {
            if let Ok(done) = tokio::time::timeout(wait, &mut work).await {
                return done;
            }
            // It may have come between two messages, which ends nothing.
            (self.cancel)().await;
            wait = BETWEEN_CANCELS;
        }
    }
}

async fn attempt(client: &Client, migration: &Migration, cap: Cap<'_>, is_last: bool) -> Outcome {
    // Nought would be no limit at all.
    let limit = in_milliseconds(cap.most.max(Duration::from_millis(1)));
    let attempt = async {
        client.query_typed(SET_LIMITS, &[(&limit, Type::TEXT)]).await?;
        client.batch_execute(migration.sql()).await?;
        if is_last {
            // What only the commit would refuse.
            client.batch_execute("set constraints all immediate").await?;
        }
        Ok::<(), tokio_postgres::Error>(())
    };
    match cap.keep(attempt).await {
        Ok(()) => Outcome::Works,
        Err(error) => Outcome::Fails(Database::from(error).into_failed(migration.to_string(), migration.sql(), 0)),
    }
}

async fn locks(client: &Client, before: &HashSet<Oid>) -> Result<Vec<HeldLock>, Error> {
    const DOING: &str = "looking at the locks of a rehearsal";
    let rows = client.query_typed(LOCKS, &[]).await.map_err(Error::database(DOING))?;
    let mut locks = Vec::new();
    for row in &rows {
        let oid: Oid = row.try_get(0).map_err(Error::database(DOING))?;
        let relation: String = row.try_get(1).map_err(Error::database(DOING))?;
        let mode: String = row.try_get(2).map_err(Error::database(DOING))?;
        if before.contains(&oid) {
            let blocks_reads = mode == "AccessExclusiveLock";
            locks.push(HeldLock { relation, mode, blocks_reads });
        }
    }
    Ok(locks)
}
