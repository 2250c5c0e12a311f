//! Brings one schema forward.

use std::time::Instant;

use tokio_postgres::Client;

use crate::patience::Patience;
use crate::{Error, Kind, Migration, Migrations, Observer, Options, Report, Step};
use crate::{backfill, history, outside, session, transaction};

/// Brings the current schema of `client` to the newest version, each migration in a transaction of its own unless it says
/// otherwise.
///
/// The caller has set the role and the search path. One that fails leaves those before it applied; running again goes on
/// there. Not to be put under a deadline: dropped half-way, the lock stays with the connection, which must be closed.
///
/// # Errors
/// Where another runner is at work, the history does not fit, or a migration fails or does not get its locks.
pub async fn run(
    client: &mut Client,
    migrations: &Migrations,
    options: &Options,
    observer: Observer<'_>,
) -> Result<Report, Error> {
    let started = Instant::now();
    // Nobody else uses the connection; from here on shared references do, so that statements can be sent together.
    let client = &*client;
    let history = session::begin(client, migrations.set(), options).await?;
    let done = go(client, migrations, history, options, observer).await;
    session::end(client, migrations.set()).await;
    let (steps, version) = done?;
    let report = Report { steps, version, elapsed: started.elapsed() };
    tracing::debug!(
        migrations.set = migrations.set().as_str(),
        migrations.applied = report.steps.len(),
        migrations.version = report.version,
        duration_ms = report.elapsed.as_millis(),
        "the schema is migrated"
    );
    Ok(report)
}

async fn go(
    client: &Client,
    migrations: &Migrations,
    history: Option<Vec<history::Applied>>,
    options: &Options,
    observer: Observer<'_>,
) -> Result<(Vec<Step>, Option<u32>), Error> {
    let is_new = history.is_none();
    let applied = history.unwrap_or_default();
    history::compare(&applied, migrations)?;
    let mut version = applied.last().map(|row| row.version);
    let first = version.unwrap_or(0);
    let last = options.target.unwrap_or(u32::MAX);
    let mut steps = Vec::new();
    for migration in migrations.list().iter().filter(|migration| (first + 1..=last).contains(&migration.version)) {
        if is_new && steps.is_empty() {
            transaction::make_history(client).await?;
        }
        let text = match migration.kind {
            Kind::Transactional | Kind::NoTransaction => migration.sql(),
            // Its messages begin with another statement.
            Kind::Backfill(_) => "",
        };
        let work = (migration, migration.to_string(), text);
        let mut patience = Patience::begin(client, work, options, observer);
        match &migration.kind {
            Kind::Transactional => apply(client, migration, &mut patience).await?,
            Kind::NoTransaction => outside::apply(client, migration, options, &mut patience).await?,
            Kind::Backfill(walk) => backfill::apply(client, migration, walk, observer, &mut patience).await?,
        }
        version = Some(migration.version);
        steps.push(patience.end());
    }
    Ok((steps, version))
}

async fn apply(client: &Client, migration: &Migration, patience: &mut Patience<'_>) -> Result<(), Error> {
    while let Err(error) = transaction::apply(client, migration).await {
        patience.wait_after(error).await?;
    }
    Ok(())
}
