//! Applies a set to one schema, and takes its newest migration back.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::{Error, Migration, Set, current_version, history, lock};

/// How far to go, and how long to wait for what.
#[derive(Debug, Clone)]
pub struct Options {
    /// Stop after this version; the newest if not given.
    pub target: Option<u32>,
    /// How long to wait for another runner on the same schema.
    pub lock_deadline: Duration,
    /// How long to pause between two tries for its lock.
    pub lock_pause: Duration,
    /// How long a statement may wait for a table: whoever waits behind it waits as long.
    pub lock_timeout: Duration,
    /// How long a statement may take in all; no limit if not given.
    pub statement_timeout: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            target: None,
            lock_deadline: Duration::from_secs(30),
            lock_pause: Duration::from_millis(50),
            lock_timeout: Duration::from_secs(2),
            statement_timeout: None,
        }
    }
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was applied, in order; nothing where the schema was up to date.
    pub applied: Vec<Migration>,
    /// The schema's version after it.
    pub version: Option<u32>,
    /// How long it took, waiting included.
    pub elapsed: Duration,
}

const SET_LIMITS: &str = "select set_config('lock_timeout', $1, false), set_config('statement_timeout', $2, false)";
const RESET_LIMITS: &str = "reset lock_timeout; reset statement_timeout";
const FORGET: &str = "delete from refinery_schema_history where version = $1";

/// Brings the current schema of `client` to the set's newest version, each migration in a transaction of its own.
///
/// The caller has set the role and the search path. One that fails leaves those before it applied; running again goes on
/// there. Not to be put under a deadline: dropped half-way, the lock stays with the connection, which must be closed.
pub async fn run(client: &mut Client, set: Set, options: &Options) -> Result<Report, Error> {
    let started = Instant::now();
    lock::take(client, set, options.lock_deadline, options.lock_pause).await?;
    let applied = apply(client, set, options).await;
    let version = match &applied {
        Ok(_) => current_version(client).await,
        Err(_) => Ok(None),
    };
    release(client, set).await;
    let report = Report { applied: applied?, version: version?, elapsed: started.elapsed() };
    tracing::debug!(
        migrations.set = set.as_str(),
        migrations.applied = report.applied.len(),
        migrations.version = report.version,
        duration_ms = report.elapsed.as_millis(),
        "the schema is migrated"
    );
    Ok(report)
}

/// Takes the newest applied migration back, with its history row, in one transaction, and says which it was.
pub async fn undo_last(client: &mut Client, set: Set, options: &Options) -> Result<Migration, Error> {
    lock::take(client, set, options.lock_deadline, options.lock_pause).await?;
    let undone = undo(client, set, options).await;
    release(client, set).await;
    undone
}

async fn apply(client: &mut Client, set: Set, options: &Options) -> Result<Vec<Migration>, Error> {
    set_limits(client, options).await?;
    history::check(client).await?;
    let target = match options.target {
        Some(version) => refinery::Target::Version(number(version)?),
        None => refinery::Target::Latest,
    };
    let report = set.runner().set_target(target).run_async(client).await.map_err(Error::from_refinery)?;
    Ok(report.applied_migrations().iter().map(Migration::of).collect())
}

async fn undo(client: &mut Client, set: Set, options: &Options) -> Result<Migration, Error> {
    const DOING: &str = "undoing a migration";
    set_limits(client, options).await?;
    let version = current_version(client).await?.ok_or(Error::NothingToUndo)?;
    let migration =
        set.list().into_iter().find(|migration| migration.version == version).ok_or(Error::NothingToUndo)?;
    let sql = set.undo_sql(version).ok_or(Error::NothingToUndo)?;
    let transaction = client.transaction().await.map_err(Error::database(DOING))?;
    transaction.batch_execute(sql).await.map_err(|source| Error::failed(format!("undo of {migration}"), source))?;
    transaction.execute(FORGET, &[&number(version)?]).await.map_err(Error::database(DOING))?;
    transaction.commit().await.map_err(Error::database(DOING))?;
    Ok(migration)
}

async fn set_limits(client: &Client, options: &Options) -> Result<(), Error> {
    let lock = format!("{}ms", options.lock_timeout.as_millis());
    let statement = format!("{}ms", options.statement_timeout.unwrap_or_default().as_millis());
    client.query_one(SET_LIMITS, &[&lock, &statement]).await.map_err(Error::database("setting the time limits"))?;
    Ok(())
}

/// Gives back what a run took from its session. A failure to is logged: the run itself is decided by then.
async fn release(client: &Client, set: Set) {
    lock::release(client, set).await;
    if let Err(error) = client.batch_execute(RESET_LIMITS).await {
        tracing::warn!(error = %error, "the time limits of a migration run stay with its session");
    }
}

fn number(version: u32) -> Result<refinery::SchemaVersion, Error> {
    refinery::SchemaVersion::try_from(version)
        .map_err(|_| Error::Divergent { detail: format!("version {version} is beyond what a history can hold") })
}
