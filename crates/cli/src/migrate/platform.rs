//! `rowhouse migrate … platform`: the schema of `saas_platform` itself, with the settings of a control plane.

use std::path::Path;

use anyhow::{Result, bail};
use rowhouse_database::{AdminConnection, Described, platform_schema};
use rowhouse_migration_files as files;
use rowhouse_migrations::platform::{Operator, recorded};
use rowhouse_migrations::{
    Difference, Event, Fingerprint, Inspection, Migration, Migrations, Options, Repair, Report, Set, difference,
    inspect, repair, unobserved,
};
use serde_json::{Value, json};

use super::server::{EMPTY, Server, said};
use super::{plan, verify};

/// Changes that the status names.
const CHANGES: u32 = 10;

/// Which `saas_platform`, and how to print.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The control plane's settings.
    pub(super) settings: Option<&'a Path>,
    pub(super) json: bool,
}

impl Place<'_> {
    async fn connect(self) -> Result<AdminConnection> {
        let server = Server::of(self.settings)?;
        server.open(&server.platform, &["public"]).await
    }

    fn print(self, answer: &Value) -> Result<bool> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(answer)?);
        }
        Ok(self.json)
    }
}

fn migrations() -> &'static Migrations {
    Set::Platform.migrations()
}

/// Prints what is applied, and what this program would apply.
pub(super) async fn status(place: Place<'_>) -> Result<()> {
    let mut admin = place.connect().await?;
    let version = version(&mut admin).await?;
    let recorded = recorded(admin.client(), CHANGES).await?;
    let changes: Vec<Value> = recorded.iter().map(|row| serde_json::from_str(row)).collect::<Result<_, _>>()?;
    let pending: Vec<&Migration> = migrations().list().iter().filter(|one| one.version > version).collect();
    let shown = |migration: &&Migration| json!({"version": migration.version, "name": migration.name});
    let listed: Vec<Value> = pending.iter().map(shown).collect();
    let status = json!({"version": version, "newest_version": migrations().latest(), "pending": listed,
        "changes": changes});
    if place.print(&status)? {
        return Ok(());
    }
    println!("saas_platform is at migration {version}; this program's newest is {}", migrations().latest());
    pending.iter().for_each(|migration| println!("pending: {migration}"));
    changes.iter().for_each(|change| println!("{}", line(change)));
    Ok(())
}

/// Who changed it, when, and what came of it.
fn line(change: &Value) -> String {
    let text = |name: &str| change[name].as_str().unwrap_or_default();
    let came = match (text("action"), text("outcome")) {
        ("platform_schema.begin", _) => "begun".to_owned(),
        (_, "success") => {
            let steps = change["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
            let milliseconds: u64 = steps.iter().filter_map(|step| step["milliseconds"].as_u64()).sum();
            format!("done in {milliseconds} ms")
        }
        _ => format!("failed: {}", text("error")),
    };
    let (from, target) = (&change["from_version"], &change["target_version"]);
    format!("{}: {} from {from} to {target}: {came}", text("at"), text("operator"))
}

/// Prints what would be applied, or taken back, with what the linter says of it.
pub(super) async fn plan(place: Place<'_>, to: Option<u32>, is_back: bool) -> Result<()> {
    let version = version(&mut place.connect().await?).await?;
    let newest = migrations().latest();
    if version > newest {
        bail!("saas_platform is at migration {version}, and this program knows 1 to {newest}");
    }
    let target = to.unwrap_or(newest);
    if target > newest {
        bail!("--to must be at most {newest}, the newest that this program knows");
    }
    let (from, to) = if is_back { (version.max(target), target) } else { (version, target.max(version)) };
    let planned = files::plan(migrations(), from, to)?;
    let direction = if is_back { "down" } else { "up" };
    let answer = json!({"direction": direction, "version": from, "target_version": to, "migrations": planned});
    if place.print(&answer)? {
        return Ok(());
    }
    println!("saas_platform would go {direction} from migration {from} to {to}");
    plan::show_migrations(&answer);
    Ok(())
}

/// Applies what is missing. Control planes do the same when they start; whoever comes second waits for the first.
pub(super) async fn run(place: Place<'_>, options: &Options) -> Result<()> {
    let report = operator().run(place.connect().await?.client(), options, &tell).await?;
    conclude(place, &report)
}

/// Takes back what is newer than a version. Services that need it refuse to start from then on.
pub(super) async fn undo(place: Place<'_>, to: u32, options: &Options) -> Result<()> {
    let report = operator().undo_to(place.connect().await?.client(), to, options, &tell).await?;
    conclude(place, &report)
}

/// Compares it with what its migrations make of a database that is dropped afterwards.
pub(super) async fn verify(place: Place<'_>, is_repair_plan: bool) -> Result<()> {
    let server = Server::of(place.settings)?;
    let mut admin = server.open(&server.platform, &["public"]).await?;
    let found = look(&mut admin).await?;
    let version = found.version.unwrap_or_default();
    if version == 0 || version > migrations().latest() {
        bail!("saas_platform is at migration {version}, and this program knows 1 to {}", migrations().latest());
    }
    let scratch = server.scratch(&admin, "look", EMPTY).await?;
    let expected = made(&server, &scratch.name, version).await;
    scratch.drop(&admin).await?;
    let expected = expected?.whole();
    let differences: Vec<Value> =
        difference(&expected, &found.whole()).into_iter().map(|one| described(&expected, one)).collect();
    let state = if differences.is_empty() { "same" } else { "different" };
    let seen = json!({"name": "saas_platform", "database_name": server.platform, "schema_name": "public",
        "version": version, "state": state, "differences": differences});
    verify::conclude_platform(&seen, place.json, is_repair_plan)
}

/// What the migrations make of an empty database.
async fn made(server: &Server, database: &str, version: u32) -> Result<Inspection> {
    let mut inside = server.open(database, &["public"]).await?;
    inside.run(platform_schema()).await.context("preparing a database to compare with").map_err(said)?;
    let options = Options { target: Some(version), ..Options::default() };
    rowhouse_migrations::run(inside.client(), migrations(), &options, &unobserved).await?;
    look(&mut inside).await
}

async fn look(connection: &mut AdminConnection) -> Result<Inspection> {
    match inspect(connection.client(), Set::Platform, "public").await? {
        Some(seen) => Ok(seen),
        None => bail!("somebody is migrating it now: try again when that is through"),
    }
}

/// As the control API describes what differs in a tenant's schema.
fn described(expected: &Fingerprint, one: Difference) -> Value {
    let (repair, is_outside, by_hand) = match repair(expected, "public", &one) {
        Repair::Transactional(sql) => (Some(sql), false, None),
        Repair::Outside(sql) => (Some(sql), true, None),
        Repair::ByHand(reason) => (None, false, Some(reason)),
    };
    let Difference { kind, name, expected, found, hash } = one;
    json!({"kind": kind, "name": name, "expected": expected, "found": found, "hash": hash, "repair": repair,
        "is_outside": is_outside, "by_hand": by_hand})
}

/// Whoever types, as the system knows them.
fn operator() -> Operator {
    #[expect(clippy::disallowed_methods, reason = "it is no setting")]
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    Operator::new(format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy()))
}

async fn version(admin: &mut AdminConnection) -> Result<u32> {
    Ok(rowhouse_migrations::current_version(admin.client()).await?.unwrap_or_default())
}

fn tell(event: Event<'_>) {
    match event {
        Event::Waits { migration, pause, sqlstate, .. } => {
            eprintln!("{migration} waits for a lock ({sqlstate}); again in {} ms", pause.as_millis());
        }
        Event::Begins { migration } => eprintln!("{migration} …"),
        Event::Batch { .. } | Event::Ends { .. } => {}
    }
}

fn conclude(place: Place<'_>, report: &Report) -> Result<()> {
    let version = report.version.unwrap_or_default();
    let steps: Vec<Value> = report
        .steps
        .iter()
        .map(|step| json!({"version": step.version, "name": step.name, "milliseconds": step.elapsed.as_millis()}))
        .collect();
    if !place.print(&json!({"version": version, "steps": steps}))? {
        report.steps.iter().for_each(|step| println!("{step}: {} ms", step.elapsed.as_millis()));
        println!("saas_platform is at migration {version}");
    }
    Ok(())
}
