//! `rowhouse migrate run` and `rowhouse migrate undo`: start a run and watch it to its end.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use jiff::SignedDuration;
use rowhouse_migrations::Options;
use serde_json::{Map, Value, json};

use super::platform;
use super::sets::Which;
use super::watch::watch;
use crate::remote::{Api, Connection, print};

/// What both directions take.
#[derive(clap::Args)]
pub(super) struct Rules {
    /// Schemas that go first, a number or a share such as `1%`; 0 for none [default: 1]
    #[arg(long, value_name = "N|P%")]
    canary: Option<String>,
    /// Watch the canaries for so long before the others follow, such as `5m` [default: 0s]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    soak: Option<u32>,
    /// Halt where the data plane fails requests of a canary's tenants, during the soak time (60 s, unless given) and after it
    #[arg(long)]
    health_check: bool,
    /// How many of them may fail [default: 1%]
    #[arg(long, value_name = "P%", requires = "health_check")]
    max_error_rate: Option<String>,
    /// Schemas between two pauses [default: 50]
    #[arg(long, value_name = "N")]
    batch: Option<u32>,
    /// Pause between two batches, such as `30s` [default: 0s]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pause_between: Option<u32>,
    /// Schemas at once, over all workers [default: 8]
    #[arg(long, value_name = "N")]
    parallel: Option<u32>,
    /// Halt at so many failures, a number or a share such as `1%` [default: 3]
    #[arg(long, value_name = "N|P%")]
    max_failures: Option<String>,
    /// Which schemas are held against their template as soon as they are migrated, and have failed if they differ [default: all,
    /// where the control plane's settings say nothing else]
    #[arg(long)]
    verify: Option<Verify>,
    /// Which schemas come first [default: oldest]
    #[arg(long)]
    order: Option<Order>,
    /// Only some schemas: `type=trial`, `cluster=eu-1` (or its id), `org=org_…`, `tenant=ten_…`, separated by commas
    #[arg(long = "where", value_name = "KEY=VALUE,…")]
    selection: Option<String>,
    /// How long a statement may wait for a table, in milliseconds [default: 3000]
    #[arg(long, value_name = "MS")]
    lock_timeout: Option<u32>,
    /// How long a statement may take in all, in milliseconds [default: 600000]
    #[arg(long, value_name = "MS")]
    statement_timeout: Option<u32>,
    /// Go on also where a data plane that is up does not serve the target, and refuses tenants that are at it
    #[arg(long)]
    ignore_served_versions: bool,
}

/// Which schemas are compared within a run.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Verify {
    /// Each of them, which takes some milliseconds of a processor of its server where nothing differs.
    All,
    /// Those that go first; the others when the run is over.
    Canaries,
}

/// The order of a run.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Order {
    /// Those with the least bytes first.
    Smallest,
    /// Those that were made first.
    Oldest,
    /// Any, and others in each run.
    Random,
}

/// Bring schemas up to a version.
#[derive(clap::Args)]
pub(super) struct Up {
    #[command(flatten)]
    which: Which,
    /// The version to go to; the newest, unless given
    #[arg(long, value_name = "VERSION")]
    to: Option<u32>,
    /// Only try it out, in a clone of each database that is dropped afterwards: which schemas would fail and why, how long each
    /// migration takes, and which locks it holds. Where somebody is connected nothing is tried out
    #[arg(long)]
    dry_run: bool,
    /// Try it out in the live schemas, in a transaction that is rolled back
    #[arg(long, requires = "dry_run")]
    in_place: bool,
    /// How long that may hold its locks in a schema, in milliseconds [default: 1000]
    #[arg(long, value_name = "MS", requires = "dry_run")]
    lock_cap: Option<u32>,
    #[command(flatten)]
    rules: Rules,
    /// Start it and return at once
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Bring `saas_platform` up to a version.
#[derive(clap::Args)]
pub(super) struct Platform {
    /// The version to go to; the newest, unless given
    #[arg(long, value_name = "VERSION")]
    to: Option<u32>,
    /// The control plane's settings, a TOML file; `ROWHOUSE__SECTION__KEY` in the environment wins over it
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// How long a statement may wait for a table, in milliseconds [default: 3000]
    #[arg(long, value_name = "MS")]
    lock_timeout: Option<u32>,
    /// How long a statement may take in all, in milliseconds [default: 600000]
    #[arg(long, value_name = "MS")]
    statement_timeout: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Take schemas back to a version.
#[derive(clap::Args)]
pub(super) struct Down {
    #[command(flatten)]
    which: Which,
    /// The version to go back to
    #[arg(long, value_name = "VERSION")]
    to: u32,
    #[command(flatten)]
    rules: Rules,
    /// Start it and return at once
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn up(arguments: Up) -> Result<()> {
    let Up { which, to, dry_run, in_place, lock_cap, rules, detach, connection } = arguments;
    if let Some(place) = which.platform(&connection) {
        let limits = limits(rules.lock_timeout, rules.statement_timeout);
        return platform::run(place, &Options { target: to, ..limits }).await;
    }
    let mut body = rules.body("up", to)?;
    if dry_run {
        body.insert("dry_run".to_owned(), json!(if in_place { "in_place" } else { "clone" }));
        body.extend(lock_cap.map(|cap| ("lock_cap_ms".to_owned(), json!(cap))));
    }
    start(body, detach, &connection).await
}

pub(super) async fn platform(arguments: &Platform) -> Result<()> {
    let Platform { to, settings, lock_timeout, statement_timeout, json } = arguments;
    let place = platform::Place { settings: settings.as_deref(), json: *json };
    platform::run(place, &Options { target: *to, ..limits(*lock_timeout, *statement_timeout) }).await
}

pub(super) async fn down(arguments: Down) -> Result<()> {
    let Down { which, to, rules, detach, connection } = arguments;
    if let Some(place) = which.platform(&connection) {
        return platform::undo(place, to, &limits(rules.lock_timeout, rules.statement_timeout)).await;
    }
    start(rules.body("down", Some(to))?, detach, &connection).await
}

async fn start(body: Map<String, Value>, detach: bool, connection: &Connection) -> Result<()> {
    let api = Api::new(connection)?;
    let run = api.post("/v1/migration-runs", &Value::Object(body)).await?;
    if detach {
        return print(connection, &run, &["id", "direction", "target_version", "state"]);
    }
    watch(&api, connection, run["id"].as_str().unwrap_or_default()).await
}

impl Rules {
    /// The body of a request for a run.
    pub(super) fn body(&self, direction: &str, to: Option<u32>) -> Result<Map<String, Value>> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        put("direction", Some(json!(direction)));
        put("to", to.map(Value::from));
        put("canary", self.canary.clone().map(Value::from));
        put("soak_seconds", self.soak.map(Value::from));
        put("health_check", self.health_check.then_some(Value::Bool(true)));
        put("max_error_rate", self.max_error_rate.clone().map(Value::from));
        put("batch", self.batch.map(Value::from));
        put("pause_seconds", self.pause_between.map(Value::from));
        put("parallel", self.parallel.map(Value::from));
        put("max_failures", self.max_failures.clone().map(Value::from));
        put("verify", self.verify.map(|verify| json!(verify_name(verify))));
        put("order", self.order.map(|order| json!(order_name(order))));
        put("where", self.selection.as_deref().map(selection).transpose()?);
        put("lock_timeout_ms", self.lock_timeout.map(Value::from));
        put("statement_timeout_ms", self.statement_timeout.map(Value::from));
        put("ignore_served_versions", self.ignore_served_versions.then_some(Value::Bool(true)));
        Ok(body)
    }
}

/// What holds for one schema.
fn limits(lock_timeout: Option<u32>, statement_timeout: Option<u32>) -> Options {
    let default = Options::default();
    let time = |milliseconds: u32| Duration::from_millis(u64::from(milliseconds));
    Options {
        lock_timeout: lock_timeout.map_or(default.lock_timeout, time),
        statement_timeout: statement_timeout.map(time).or(default.statement_timeout),
        ..default
    }
}

/// Reads a time such as `30s`, `5m` or `1h 30m`; a number alone is one of seconds.
fn seconds(text: &str) -> Result<u32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let time: SignedDuration = text.parse().map_err(|_| format!("`{text}` is no time such as 30s or 5m"))?;
    if time.subsec_nanos() != 0 {
        return Err(format!("`{text}` is finer than a second"));
    }
    u32::try_from(time.as_secs()).map_err(|_| format!("`{text}` is not between 0 s and 136 years"))
}

fn verify_name(verify: Verify) -> &'static str {
    match verify {
        Verify::All => "all",
        Verify::Canaries => "canaries",
    }
}

fn order_name(order: Order) -> &'static str {
    match order {
        Order::Smallest => "smallest",
        Order::Oldest => "oldest",
        Order::Random => "random",
    }
}

pub(super) fn selection(text: &str) -> Result<Value> {
    let mut selection = Map::new();
    for part in text.split(',') {
        let Some((key, value)) = part.trim().split_once('=') else {
            bail!("`{part}` in --where is not KEY=VALUE");
        };
        let key = match key {
            "type" => "type",
            "cluster" => "cluster",
            "org" => "organization_id",
            "tenant" => "tenant_id",
            _ => bail!("--where knows type, cluster, org and tenant, not `{key}`"),
        };
        selection.insert(key.to_owned(), Value::from(value));
    }
    Ok(Value::Object(selection))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_are_read_and_nonsense_is_named() {
        let expected = json!({"type": "trial", "organization_id": "org_1"});
        assert_eq!(selection("type=trial, org=org_1").unwrap(), expected);
        assert!(selection("trial").unwrap_err().to_string().contains("`trial`"));
        assert!(selection("size=1").unwrap_err().to_string().contains("`size`"));
    }

    #[test]
    fn times_are_read_and_nonsense_is_named() {
        assert_eq!(seconds("30s"), Ok(30));
        assert_eq!(seconds("1h 30m"), Ok(5400));
        assert_eq!(seconds("45"), Ok(45));
        for nonsense in ["", "soon", "-5s", "1500ms", "9999999999s"] {
            assert!(seconds(nonsense).is_err(), "{nonsense}");
        }
    }
}
