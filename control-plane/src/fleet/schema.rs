//! Migrates one schema.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rowhouse_database::{AdminConnection, is_cut_off, sqlstate_behind};
use rowhouse_domain::{MigrationDirection, SchemaCheckState, SchemaMigrationState};
use rowhouse_migrations::{Error as MigrationError, Event, Options, Report, Step};
use serde_json::{Value, json};
use tokio_postgres::error::DbError;

use super::away::{Patience, Server, Tried};
use super::claim::{Outcome, Task};
use super::{rehearsal, store};
use crate::clusters::ClusterLink;
use crate::context::Context;
use crate::sweeps;

/// Times that a schema is left to the one who is at work on it, before it counts as failed.
const PATIENCE: i32 = 5;
/// Times that a canary is looked at where nobody can tell whether it differs, and the pause after the first: it doubles each time.
const LOOKS: u32 = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const NO_SUCH_DATABASE: &str = "3D000";
const GONE: &str = "its tenant was purged meanwhile";

/// Brings a schema to where its task says; what fails is part of the outcome. None where somebody else is at work on it: the
/// lease runs out, and whoever takes it over finds it done, or free.
///
/// A tenant that is purged takes its database away under a worker's hands, at any moment: whatever failed, it failed only if
/// the schema is still one of the fleet's.
pub(super) async fn migrate(context: &Context, link: &ClusterLink, task: &Task) -> Option<Outcome> {
    let outcome = outlast(context, link, task).await?;
    if outcome.state != SchemaMigrationState::Failed {
        return Some(outcome);
    }
    let still_there = async { store::is_of_the_fleet(&context.progress.get().await?, task.schema).await };
    Some(match still_there.await {
        Ok(true) => {
            let (database, error) = (&task.database, outcome.error.as_deref().unwrap_or_default());
            tracing::warn!(run.id = %task.run, schema = task.name, database, error, "a schema was not migrated");
            outcome
        }
        Ok(false) => {
            tracing::info!(run.id = %task.run, schema = task.name, "a schema is gone: its tenant was purged meanwhile");
            Outcome { state: SchemaMigrationState::Skipped, error: Some(GONE.to_owned()), sqlstate: None, ..outcome }
        }
        Err(error) => {
            tracing::warn!(error = error.chain(), "whether a schema that failed is still there can't be told");
            outcome
        }
    })
}

/// Tries again where the server went away: it is back soon, mostly, and has the schema at one of the versions.
async fn outlast(context: &Context, link: &ClusterLink, task: &Task) -> Option<Outcome> {
    if let Some(how) = task.dry_run {
        return Some(rehearsal::rehearse(context, link, task, how).await);
    }
    // What was done before it went away was done.
    let steps = Mutex::new(Vec::new());
    let mut patience = Patience::new();
    loop {
        let Tried { outcome, server } = attempt(context, link, task, &steps).await?;
        if server == Server::There || outcome.state != SchemaMigrationState::Failed {
            return Some(outcome);
        }
        tracing::warn!(run.id = %task.run, schema = task.name, error = outcome.error, "the server of a schema went away");
        if !patience.is_left(server, &task.stop).await {
            return Some(if task.stop.is_asked() { stopped(outcome) } else { outcome });
        }
    }
}

/// The steps are told of each migration as it ends, so that those before one that fails are known too.
async fn attempt(
    context: &Context,
    link: &ClusterLink,
    task: &Task,
    steps: &Mutex<Vec<Value>>,
) -> Option<Tried<Outcome>> {
    let observe = |event: Event<'_>| {
        if let Event::Ends { step } = event {
            steps.lock().unwrap_or_else(PoisonError::into_inner).push(shown(step));
        }
    };
    let told = || steps.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut inside = match link.open_in(context, &task.database, &task.schema_name).await {
        Ok(inside) => inside,
        Err(error) => {
            let sqlstate = sqlstate_behind(&error);
            let said = match sqlstate.as_deref() {
                Some(NO_SUCH_DATABASE) => missing(&format!("The database {}", task.database), &error.chain()),
                _ => error.chain(),
            };
            let outcome = failed(None, told(), said, sqlstate);
            return Some(Tried { outcome, server: if is_cut_off(&error) { Server::Away } else { Server::There } });
        }
    };
    let done = carry_out(context, &mut inside, task, &observe).await;
    let steps = told();
    let mut is_lost = false;
    let outcome = match done {
        Ok(report) => {
            let version = report.version.and_then(|version| i32::try_from(version).ok()).or(Some(0));
            if let Some(said) = falls_short(task, version.unwrap_or_default()) {
                failed(version, steps, said, None)
            } else {
                verified(context, link, &mut inside, task, version, steps).await
            }
        }
        // It was taken over from a worker that lives after all, and only was not heard of for a while; or, a first attempt as
        // far as anybody knows, its claim was lost with a server of `saas_platform` that crashed.
        Err(MigrationError::Locked { .. }) if task.attempts < PATIENCE => return None,
        Err(error) => {
            let was_stopped = matches!(error, MigrationError::Stopped { .. } | MigrationError::LeftOff { .. });
            let version = rowhouse_migrations::current_version(inside.client()).await.ok().flatten();
            let version = version.and_then(|version| i32::try_from(version).ok());
            let sqlstate = error.sqlstate().map(str::to_owned);
            let said = if matches!(error, MigrationError::NoSchema) {
                let what = format!("The schema {} of the database {}", task.schema_name, task.database);
                missing(&what, &error.to_string())
            } else {
                chain(&error)
            };
            is_lost = is_cut_off(&error);
            let outcome = failed(version, steps, said, sqlstate);
            if was_stopped { stopped(outcome) } else { outcome }
        }
    };
    let server = if is_lost || inside.is_closed() { Server::Lost } else { Server::There };
    Some(Tried { outcome, server })
}

/// What came of a schema that is migrated, once it was looked at, if it is to be. A canary has failed where nobody could tell
/// whether it differs: the others would follow it unseen. Of the others, the sweep after the run says it.
async fn verified(
    context: &Context,
    link: &ClusterLink,
    inside: &mut AdminConnection,
    task: &Task,
    version: Option<i32>,
    steps: Vec<Value>,
) -> Outcome {
    let done = |steps| Outcome { version, ..Outcome::of(SchemaMigrationState::Done, steps) };
    if !task.is_verified {
        return done(steps);
    }
    let mut looks = 1;
    let mut seen = verify(context, link, inside, task).await;
    while seen.is_err() && task.is_canary && looks < LOOKS && !inside.is_closed() {
        tokio::time::sleep(LOOK_AGAIN * 2_u32.pow(looks - 1)).await;
        looks += 1;
        seen = verify(context, link, inside, task).await;
    }
    match seen {
        Ok(None) => Outcome { is_verified: true, ..done(steps) },
        Ok(Some(said)) => Outcome { is_verified: true, ..failed(version, steps, said, None) },
        Err(error) if task.is_canary => {
            let said = format!("it is migrated, and could not be compared with its template in {looks} looks: {error}");
            failed(version, steps, said, None)
        }
        Err(error) => {
            tracing::warn!(
                schema = task.name,
                error,
                "a schema that was migrated could not be compared with its template"
            );
            done(steps)
        }
    }
}

/// Holds a schema against the template, and says in what it differs, if at all. Or why nobody could tell.
async fn verify(
    context: &Context,
    link: &ClusterLink,
    inside: &mut AdminConnection,
    task: &Task,
) -> Result<Option<String>, String> {
    let looked_at = Instant::now();
    let seen = sweeps::look_inside(context, link, inside, &task.schema_name).await.map_err(|error| error.chain())?;
    let seen = seen.ok_or("another runner is at work in it")?;
    // Nor is it known what of it is accepted where that can't be written down.
    let recorded =
        async { sweeps::record_of_run(&mut context.progress.get().await?, task.schema, looked_at, &seen).await };
    let state = recorded.await.map_err(|error| error.chain())?;
    let said = || format!("it is migrated, and differs from its template: {}", sweeps::shown(&seen.differences));
    Ok((state == SchemaCheckState::Different).then(said))
}

async fn carry_out(
    context: &Context,
    inside: &mut AdminConnection,
    task: &Task,
    observe: &(dyn Fn(Event<'_>) + Send + Sync),
) -> Result<Report, MigrationError> {
    let target = u32::try_from(task.target).unwrap_or_default();
    let options = Options {
        target: Some(target),
        lock_timeout: task.lock_timeout,
        statement_timeout: Some(task.statement_timeout),
        stop: task.stop.clone(),
        ..Options::default()
    };
    let migrations = &context.tenant_migrations;
    match task.direction {
        MigrationDirection::Up => rowhouse_migrations::run(inside.client(), migrations, &options, observe).await,
        MigrationDirection::Down => {
            rowhouse_migrations::undo_to(inside.client(), migrations, target, &options, observe).await
        }
    }
}

/// What there is to say where nothing failed and the schema is not where it should be: the migrations that it lacks are not
/// this program's.
fn falls_short(task: &Task, version: i32) -> Option<String> {
    let has_come = match task.direction {
        MigrationDirection::Up => version >= task.target,
        MigrationDirection::Down => version <= task.target,
    };
    let target = task.target;
    (!has_come)
        .then(|| format!("it was to be at version {target} and is at {version}: this worker has nothing in between"))
}

/// What is to be done about something that a row speaks of and that is not there.
fn missing(what: &str, error: &str) -> String {
    format!("{what} is not there, and its row says that it is: `rowhouse doctor` says what else is wrong. {error}")
}

/// What can go on has not failed.
fn stopped(outcome: Outcome) -> Outcome {
    let (state, note) = (SchemaMigrationState::Skipped, outcome.error);
    Outcome { state, error: None, note, is_due_again: true, ..outcome }
}

/// What came of a schema whose cluster is not ready for it.
pub(super) fn not_begun(task: &Task, reason: &str) -> Outcome {
    tracing::warn!(run.id = %task.run, schema = task.name, reason, "a schema was not migrated");
    let outcome = failed(None, Vec::new(), format!("it was not begun: {reason}"), None);
    // Nor is it to be, for now.
    if task.stop.is_asked() { stopped(outcome) } else { outcome }
}

fn failed(version: Option<i32>, steps: Vec<Value>, error: String, sqlstate: Option<String>) -> Outcome {
    Outcome { version, error: Some(error), sqlstate, ..Outcome::of(SchemaMigrationState::Failed, steps) }
}

fn shown(step: &Step) -> Value {
    json!({
        "version": step.version,
        "name": step.name,
        "milliseconds": u64::try_from(step.elapsed.as_millis()).unwrap_or(u64::MAX),
        "attempts": step.attempts,
    })
}

/// The error with its causes: the driver says only "db error" by itself. Without what the server says in detail, which may be
/// a tenant's data.
pub(super) fn chain(error: &MigrationError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let of_server = error.downcast_ref::<DbError>();
        let said =
            of_server.map_or_else(|| error.to_string(), |error| format!("{}: {}", error.severity(), error.message()));
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
