//! Looking at the fleet and its runs, and telling a run what to do.

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::platform;
use super::sets::Which;
use super::watch::watch_anew;
use crate::remote::{Api, Connection, done, print};

/// What stands where.
#[derive(clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    connection: Connection,
}

/// A run.
#[derive(clap::Args)]
pub(super) struct OfRun {
    /// The run, `mig_…`
    run: String,
    #[command(flatten)]
    connection: Connection,
}

/// A tenant whose schema is held back.
#[derive(clap::Args)]
pub(super) struct Hold {
    /// The tenant, `ten_…`
    tenant: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// Let it be brought up to this version, and no further
    #[arg(long, value_name = "VERSION")]
    at: Option<u32>,
    #[command(flatten)]
    connection: Connection,
}

/// A tenant whose schema goes with the others again.
#[derive(clap::Args)]
pub(super) struct Release {
    /// The tenant, `ten_…`
    tenant: String,
    #[command(flatten)]
    connection: Connection,
}

const COUNTED: [&str; 11] = [
    "id",
    "direction",
    "dry_run",
    "target_version",
    "state",
    "phase",
    "done",
    "failed",
    "left",
    "started_at",
    "started_by",
];

/// Prints how many schemas are at each version.
pub(super) async fn status(arguments: &Status) -> Result<()> {
    let Status { which, connection } = arguments;
    if let Some(place) = which.platform(connection) {
        return platform::status(place).await;
    }
    let status = Api::new(connection)?.get("/v1/migrations").await?;
    if connection.json {
        return print(connection, &status, &[]);
    }
    print(connection, &status["versions"], &["version", "schemas", "held", "failed", "blocked", "accepted"])?;
    println!(
        "{} schemas, {} behind version {}, {} held back, {} failed, {} blocked, {} different as accepted",
        status["schemas"],
        status["behind"],
        status["newest_version"],
        status["held"],
        status["failed"],
        status["blocked"],
        status["accepted"]
    );
    if status["blocked"].as_i64().is_some_and(|blocked| blocked > 0) {
        println!(
            "Runs pass by schemas that differ from their template, until `rowhouse migrate verify` sees that they are the same, or \
             `rowhouse migrate accept` says that it is meant."
        );
    }
    let runs: Vec<Value> = status["runs"].as_array().into_iter().flatten().map(flat).collect();
    if runs.is_empty() { Ok(()) } else { print(connection, &Value::Array(runs), &COUNTED) }
}

/// Prints the latest runs.
pub(super) async fn list(connection: &Connection) -> Result<()> {
    let runs = Api::new(connection)?.list("/v1/migration-runs", 50).await?;
    let flat: Vec<Value> = runs.as_array().into_iter().flatten().map(flat).collect();
    print(connection, &if connection.json { runs } else { Value::Array(flat) }, &COUNTED)
}

const OF_SCHEMA: [&str; 8] = ["name", "phase", "state", "from_version", "to_version", "attempts", "seconds", "error"];

/// Prints what a run did with each schema.
pub(super) async fn show(arguments: &OfRun) -> Result<()> {
    let OfRun { run, connection } = arguments;
    let schemas = Api::new(connection)?.list(&format!("/v1/migration-runs/{run}/schemas"), 10_000).await?;
    if connection.json {
        return print(connection, &schemas, &[]);
    }
    let schemas: Vec<Value> = schemas.as_array().into_iter().flatten().map(timed).collect();
    print(connection, &Value::Array(schemas), &OF_SCHEMA)
}

/// A schema of a run with the seconds that the run was at it, the last time.
fn timed(schema: &Value) -> Value {
    let at = |name: &str| schema[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let mut timed = schema.clone();
    timed["seconds"] = match (at("started_at"), at("finished_at")) {
        (Some(begun), Some(ended)) => format!("{:.1}", ended.duration_since(begun).as_secs_f64()).into(),
        _ => Value::Null,
    };
    timed
}

/// Attaches to a run that is under way.
pub(super) async fn attach(arguments: &OfRun) -> Result<()> {
    watch_anew(&Api::new(&arguments.connection)?, &arguments.connection, &arguments.run).await
}

/// Tells a run what to do: `pause`, `resume`, `cancel` or `retry`.
pub(super) async fn tell(arguments: &OfRun, order: &str) -> Result<()> {
    let OfRun { run, connection } = arguments;
    let run = Api::new(connection)?.post(&format!("/v1/migration-runs/{run}/{order}"), &json!({})).await?;
    print(connection, &if connection.json { run } else { json!([flat(&run)]) }, &COUNTED)
}

/// Holds a tenant's schema back.
pub(super) async fn hold(arguments: &Hold) -> Result<()> {
    let Hold { tenant, reason, at, connection } = arguments;
    let body = json!({"reason": reason, "version": at});
    let hold = Api::new(connection)?.put(&format!("/v1/tenants/{tenant}/migration-hold"), &body).await?;
    print(connection, &hold, &["schema_id", "version", "reason"])
}

/// Lets a tenant's schema go with the others again.
pub(super) async fn release(arguments: &Release) -> Result<()> {
    let Release { tenant, connection } = arguments;
    Api::new(connection)?.delete(&format!("/v1/tenants/{tenant}/migration-hold")).await?;
    done(connection, &format!("{tenant} goes with the others again."));
    Ok(())
}

/// A run with its counts beside its other members, as a table has it.
fn flat(run: &Value) -> Value {
    let mut flat = run.clone();
    for (name, count) in run["counts"].as_object().into_iter().flatten() {
        flat[name] = count.clone();
    }
    flat["started_at"] = run["created_at"].clone();
    let by = ["started_by_kind", "started_by"].map(|name| run[name].as_str().unwrap_or_default());
    flat["started_by"] = by.join(" ").trim_end().into();
    flat
}
