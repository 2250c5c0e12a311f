//! `rowhouse migrate verify`: every schema against the template of its version.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::sets::Which;
use super::start::selection;
use super::{platform, repair_plan};
use crate::exit::Exit;
use crate::remote::{Api, Connection};

const BETWEEN_LOOKS: Duration = Duration::from_millis(300);
/// Schemas that are shown.
const MOST: usize = 10_000;
/// The exit code where schemas differ, or could not be read.
const DIFFERENT: u8 = 6;

/// Compare schemas with their templates.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Only some schemas: `type=trial`, `cluster=…`, `org=org_…`, `tenant=ten_…`, separated by commas
    #[arg(long = "where", value_name = "KEY=VALUE,…")]
    selection: Option<String>,
    /// Print SQL for psql that brings back what can be brought back simply, and name what can't; it is not run
    #[arg(long)]
    repair_plan: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { which, selection: wanted, repair_plan, connection } = arguments;
    if let Some(place) = which.platform(connection) {
        return platform::verify(place, *repair_plan).await;
    }
    let api = Api::new(connection)?;
    let wanted = wanted.as_deref().map(selection).transpose()?.unwrap_or_else(|| json!({}));
    let begun = api.post("/v1/schema-sweeps", &json!({"where": wanted})).await?;
    let id = begun["id"].as_str().unwrap_or_default();
    let sweep = watch(&api, connection, id).await?;
    let mut schemas: Vec<Value> = Vec::new();
    for state in ["different", "unreadable"] {
        schemas.extend(listed(&api, id, state).await?);
    }
    let accepted = listed(&api, id, "accepted").await?;
    if connection.json {
        let mut report = sweep.clone();
        report["differing"] = Value::Array(schemas);
        report["meant"] = Value::Array(accepted);
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else if *repair_plan {
        print!("{}", repair_plan::of(&schemas));
    } else {
        for schema in accepted.iter().chain(&schemas) {
            show(schema);
        }
    }
    let count = |name: &str| sweep[name].as_i64().unwrap_or_default();
    let said = format!(
        "{} of {} schemas are what their templates are, {} differ as accepted, {} differ, {} could not be read, {} were being \
         migrated or are gone",
        count("same"),
        count("schemas"),
        count("accepted"),
        count("different"),
        count("unreadable"),
        count("passed_by")
    );
    if count("different") + count("unreadable") > 0 {
        return Err(Exit::new(DIFFERENT, said).into());
    }
    if !connection.json {
        eprintln!("{said}");
    }
    Ok(())
}

/// Shows what was seen of `saas_platform`, which is described as a tenant's schema is.
pub(super) fn conclude_platform(seen: &Value, is_json: bool, is_repair_plan: bool) -> Result<()> {
    let is_same = seen["state"] == "same";
    if is_json {
        println!("{}", serde_json::to_string_pretty(seen)?);
    } else if is_repair_plan {
        print!("{}", repair_plan::of(std::slice::from_ref(seen)));
    } else if !is_same {
        show(seen);
    }
    if !is_same {
        return Err(Exit::new(DIFFERENT, "saas_platform is not what its migrations make").into());
    }
    if !is_json {
        eprintln!("saas_platform is what its migrations make, up to {}", seen["version"]);
    }
    Ok(())
}

/// Waits for a sweep to be through: with a bar for people, silently for programs.
async fn watch(api: &Api<'_>, connection: &Connection, id: &str) -> Result<Value> {
    let bar = (!connection.json && std::io::stderr().is_terminal()).then(|| {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed} (left {eta})");
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    });
    loop {
        let sweep = api.get(&format!("/v1/schema-sweeps/{id}")).await?;
        let count = |name: &str| sweep[name].as_u64().unwrap_or_default();
        if let Some(bar) = &bar {
            bar.set_length(count("schemas"));
            bar.set_position(["same", "different", "accepted", "unreadable", "passed_by"].map(count).iter().sum());
            bar.set_message(format!("{} differ", count("different")));
        }
        if sweep["state"] == "done" {
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            return Ok(sweep);
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

async fn listed(api: &Api<'_>, sweep: &str, state: &str) -> Result<Vec<Value>> {
    let listed = api.list(&format!("/v1/schema-checks?sweep_id={sweep}&state={state}"), MOST).await?;
    Ok(listed.as_array().cloned().unwrap_or_default())
}

fn show(schema: &Value) {
    let text = |name: &str| schema[name].as_str().unwrap_or_default();
    let version = schema["version"].as_i64().map(|version| format!(", version {version}")).unwrap_or_default();
    let blocked = if schema["is_blocking"] == true { ", passed by by runs" } else { "" };
    println!("{} ({}.{}{version}{blocked})", text("name"), text("database_name"), text("schema_name"));
    if let Some(error) = schema["error"].as_str() {
        println!("  could not be read: {error}");
    }
    if let Some(reason) = schema["acceptance"]["reason"].as_str() {
        let since = schema["acceptance"]["accepted_at"].as_str().unwrap_or_default();
        let what =
            if schema["state"] == "accepted" { "all of this is accepted" } else { "not all of this is accepted" };
        println!("  {what}, since {since}: {reason}");
    }
    show_differences(schema);
}

/// What differs, object by object.
pub(super) fn show_differences(of: &Value) {
    for one in of["differences"].as_array().into_iter().flatten() {
        let (expected, found) = (one["expected"].as_str(), one["found"].as_str());
        let what = match (expected, found) {
            (Some(_), None) => "is missing",
            (None, _) => "should not be there",
            (Some(_), Some(_)) => "has changed",
        };
        println!("  {} {} {what}", one["kind"].as_str().unwrap_or_default(), one["name"].as_str().unwrap_or_default());
        for (label, definition) in [("expected", expected), ("found", found)] {
            if let Some(definition) = definition {
                println!("    {label}: {}", definition.replace('\n', "\n      "));
            }
        }
    }
}
