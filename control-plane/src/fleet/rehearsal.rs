//! Dry runs: what a migration would do to one schema, in a clone of its database that is dropped afterwards, or in the live one
//! within a transaction that is rolled back. Neither changes a version.

use std::time::Duration;

use futures::FutureExt;
use rowhouse_database::{AdminConnection, Columns, Described, quote_ident};
use rowhouse_domain::{MigrationRehearsal, SchemaMigrationState};
use rowhouse_migrations::{Error as MigrationError, HeldLock, Options, Rehearsal, RehearsedStep, unobserved};
use rowhouse_problem::{Error, Result};
use serde_json::{Value, json};
use uuid::Uuid;

use super::claim::{Outcome, Task};
use super::schema::chain;
use crate::clusters::ClusterLink;
use crate::context::Context;
use crate::tenants::provision::clone_closed;

/// A clone's name begins so, and ends with its schema's id.
pub(crate) const CLONE: &str = "rowhouse_rehearsal_";
/// Between tries, where somebody is connected to what is to be cloned.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// Nobody waits for what lies in a clone.
const IN_A_CLONE: Duration = Duration::from_secs(3600);

/// What a rehearsal says of a schema.
struct Rehearsed {
    steps: Vec<Value>,
    failed: Option<(String, Option<String>)>,
}

/// Why a database is not cloned.
enum NotCloned {
    /// Somebody is connected to it, who may be gone in a moment.
    Used(String),
    /// Its users would wait for too long.
    Large(String),
}

/// Tries out what a task would do, as its run says: nothing is done in a live schema that nobody asked for.
pub(super) async fn rehearse(context: &Context, link: &ClusterLink, task: &Task, how: MigrationRehearsal) -> Outcome {
    let rehearsed = match how {
        MigrationRehearsal::InPlace => in_place(context, link, task).await.map(Ok),
        MigrationRehearsal::Clone => in_a_clone_soon(context, link, task).await,
    };
    use SchemaMigrationState::{Done, Failed, Skipped};
    match rehearsed {
        Ok(Ok(Rehearsed { steps, failed })) => {
            let state = if failed.is_none() { Done } else { Failed };
            let (error, sqlstate) = failed.map_or((None, None), |(error, sqlstate)| (Some(error), sqlstate));
            Outcome { error, sqlstate, rehearsed: Some(how), ..Outcome::of(state, steps) }
        }
        Ok(Err(NotCloned::Used(note) | NotCloned::Large(note))) => {
            Outcome { note: Some(note), ..Outcome::of(Skipped, Vec::new()) }
        }
        Err(error) => Outcome { error: Some(error.chain().to_string()), ..Outcome::of(Failed, Vec::new()) },
    }
}

/// Within one transaction of the live schema, which holds its locks for no longer than the run allows.
async fn in_place(context: &Context, link: &ClusterLink, task: &Task) -> Result<Rehearsed> {
    let mut inside = link.open_in(context, &task.database, &task.schema_name).await?;
    let migrations = &context.tenant_migrations;
    let (options, canceller) = (options(task, task.target), inside.canceller());
    let cancel = || canceller.cancel().boxed();
    let done = rowhouse_migrations::rehearse(inside.client(), migrations, &options, task.lock_cap, &cancel).await;
    let mut rehearsed = Rehearsed { steps: Vec::new(), failed: None };
    match done {
        Ok(Rehearsal { steps, .. }) => {
            rehearsed.steps.extend(steps.iter().map(shown));
            rehearsed.failed = steps.iter().find_map(failure);
        }
        Err(error) => rehearsed.failed = Some(told(&error)),
    }
    if let Some((error, Some(sqlstate))) = &mut rehearsed.failed
        && sqlstate == "57014"
    {
        let cap = task.lock_cap.as_millis();
        error.push_str(&format!("; in place it may hold its locks for no longer than {cap} ms"));
    }
    Ok(rehearsed)
}

// The control plane's own looks are over in no time, and a clone waits for them.
const LOOK: &str = "
    select pg_database_size(oid) as bytes,
        (select count(*) from pg_stat_activity where datid = pg_database.oid and usesysid is not null
            and usename <> session_user) as sessions
    from pg_database where datname = $1::text::name";

/// In a clone, as soon as nobody is connected for a moment.
async fn in_a_clone_soon(context: &Context, link: &ClusterLink, task: &Task) -> Result<Result<Rehearsed, NotCloned>> {
    for pause in PAUSES {
        match in_a_clone(context, link, task).await? {
            Err(NotCloned::Used(_)) => tokio::time::sleep(pause).await,
            decided => return Ok(decided),
        }
    }
    in_a_clone(context, link, task).await
}

/// In a clone, unless its making would keep the schema's users waiting: then why not.
async fn in_a_clone(context: &Context, link: &ClusterLink, task: &Task) -> Result<Result<Rehearsed, NotCloned>> {
    let most = context.settings.migrations.clone_max_bytes;
    let name = format!("{CLONE}{}", task.schema.simple());
    let admin = context.administer_cluster(link).await?;
    let rows = admin.query(LOOK, &[&task.database]).await.context("looking at what is to be cloned")?;
    let row = rows.first().ok_or_else(|| Error::internal(format!("there is no database {:?}", task.database)))?;
    let (bytes, sessions): (i64, i64) = (row.column("bytes")?, row.column("sessions")?);
    let refusal = if sessions > 0 {
        Some(NotCloned::Used(format!("not cloned: {sessions} sessions are connected to its database")))
    } else if u64::try_from(bytes).is_ok_and(|bytes| bytes > most) {
        let note =
            format!("not cloned: its database has {bytes} bytes, and more than {most} would keep its users waiting");
        Some(NotCloned::Large(note))
    } else {
        admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
        // Of a worker that died.
        drop_clone(&admin, &name).await?;
        match clone_closed(context, &admin, &name, &task.database).await? {
            Ok(()) => None,
            // Somebody came between the look and the clone.
            Err(error) if error.sqlstate().is_some_and(|state| state.code() == "55006") => {
                Some(NotCloned::Used("not cloned: its database is being used".to_owned()))
            }
            Err(error) => return Err(error).context("cloning a database for a dry run"),
        }
    };
    if let Some(refusal) = refusal {
        drop(admin);
        return Ok(Err(refusal));
    }
    let rehearsed = within(context, link, task, &admin, &name).await;
    // Whatever came of it: the doctor and the leader know of those that are left even so.
    drop_clone(&admin, &name).await?;
    admin.run("reset role").await.context("being oneself again")?;
    admin.give_back();
    rehearsed.map(Ok)
}

/// As its owner, who may not end our own session there if that is still on its way out: it is waited for instead.
pub(super) async fn drop_clone(admin: &AdminConnection, name: &str) -> Result<()> {
    let dropped = format!("drop database if exists {}", quote_ident(name));
    admin.run(&dropped).await.context("dropping the clone of a dry run")
}

async fn within(
    context: &Context,
    link: &ClusterLink,
    task: &Task,
    admin: &AdminConnection,
    name: &str,
) -> Result<Rehearsed> {
    // A clone has none of the rights of what it was made of: as it is born, everybody may connect to it.
    let opened = format!(
        "begin; revoke all on database {0} from public; grant connect on database {0} to rowhouse_control;
         alter database {0} allow_connections true; commit",
        quote_ident(name)
    );
    admin.run(&opened).await.context("opening the clone of a dry run")?;
    let mut inside = link.open_in(context, name, &task.schema_name).await?;
    let mut rehearsed = Rehearsed { steps: Vec::new(), failed: None };
    let migrations = &context.tenant_migrations;
    let canceller = inside.canceller();
    let cancel = || canceller.cancel().boxed();
    for version in task.from + 1..=task.target {
        // Tried out for its locks, then applied for what comes behind it: also what runs outside a transaction.
        let options = options(task, version);
        let tried = rowhouse_migrations::rehearse(inside.client(), migrations, &options, IN_A_CLONE, &cancel).await;
        let step = match tried {
            Ok(Rehearsal { mut steps, .. }) => steps.pop(),
            Err(error) => {
                rehearsed.failed = Some(told(&error));
                break;
            }
        };
        let Some(step) = step else { continue };
        rehearsed.failed = failure(&step);
        let mut shown = shown(&step);
        if rehearsed.failed.is_none() {
            match rowhouse_migrations::run(inside.client(), migrations, &options, &unobserved).await {
                Ok(report) if matches!(step.outcome, rowhouse_migrations::Outcome::Skipped) => {
                    shown["outcome"] = json!("works");
                    shown["milliseconds"] = json!(in_milliseconds(report.elapsed));
                }
                Ok(_) => {}
                Err(error) => {
                    shown["outcome"] = json!("fails");
                    rehearsed.failed = Some(told(&error));
                }
            }
        }
        rehearsed.steps.push(shown);
        if rehearsed.failed.is_some() {
            break;
        }
    }
    Ok(rehearsed)
}

fn options(task: &Task, target: i32) -> Options {
    Options {
        target: Some(u32::try_from(target).unwrap_or_default()),
        lock_timeout: task.lock_timeout,
        statement_timeout: Some(task.statement_timeout),
        ..Options::default()
    }
}

fn told(error: &MigrationError) -> (String, Option<String>) {
    (chain(error), error.sqlstate().map(str::to_owned))
}

fn failure(step: &RehearsedStep) -> Option<(String, Option<String>)> {
    match &step.outcome {
        rowhouse_migrations::Outcome::Fails(error) => Some(told(error)),
        rowhouse_migrations::Outcome::Works | rowhouse_migrations::Outcome::Skipped => None,
    }
}

fn shown(step: &RehearsedStep) -> Value {
    let outcome = match step.outcome {
        rowhouse_migrations::Outcome::Works => "works",
        rowhouse_migrations::Outcome::Skipped => "skipped",
        rowhouse_migrations::Outcome::Fails(_) => "fails",
    };
    let milliseconds = in_milliseconds(step.elapsed);
    // Until its transaction ends, which is as long as it takes.
    let lock = |lock: &HeldLock| json!({"relation": lock.relation, "mode": lock.mode, "blocks_reads": lock.blocks_reads, "milliseconds": milliseconds});
    let locks: Vec<Value> = step.locks.iter().map(lock).collect();
    json!({"version": step.version, "name": step.name, "milliseconds": milliseconds, "outcome": outcome, "locks": locks})
}

fn in_milliseconds(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// The schema whose clone has a name.
pub(crate) fn cloned_schema(database: &str) -> Option<Uuid> {
    Uuid::parse_str(database.strip_prefix(CLONE)?).ok()
}
