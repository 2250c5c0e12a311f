//! `rowhouse migrate plan`: what a run would do.

use anyhow::Result;
use serde_json::Value;

use super::platform;
use super::sets::Which;
use super::start::Rules;
use crate::remote::{Api, Connection, print};

const PATH: &str = "/v1/migrations/plan";

/// What to plan: the options of the run.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// The version to go to; the newest, unless given
    #[arg(long, value_name = "VERSION")]
    to: Option<u32>,
    /// Plan to go back, as `undo` would; needs --to
    #[arg(long, requires = "to")]
    undo: bool,
    /// Name at most so many schemas, in the order in which they would be begun
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    /// Go on behind an earlier page: its `next_cursor`
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { which, to, undo, limit, cursor, rules, connection } = arguments;
    if let Some(place) = which.platform(connection) {
        return platform::plan(place, *to, *undo).await;
    }
    let mut body = rules.body(if *undo { "down" } else { "up" }, *to)?;
    // What shows only while it is under way.
    for member in [
        "verify",
        "lock_timeout_ms",
        "statement_timeout_ms",
        "health_check",
        "max_error_rate",
        "ignore_served_versions",
    ] {
        body.remove(member);
    }
    if let Some(Value::Object(selection)) = body.remove("where") {
        body.extend(selection);
    }
    let mut query: Vec<(String, String)> = body.into_iter().map(|(name, value)| (name, text(&value))).collect();
    query.push(("limit".to_owned(), limit.to_string()));
    query.extend(cursor.clone().map(|cursor| ("cursor".to_owned(), cursor)));
    let plan = Api::new(connection)?.get_with(PATH, &query).await?;
    if connection.json {
        return print(connection, &plan, &[]);
    }
    show(connection, &plan)
}

fn show(connection: &Connection, plan: &Value) -> Result<()> {
    let is_empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    println!("{} schemas would go {} to version {}", plan["ahead"], text(&plan["direction"]), plan["target_version"]);
    println!(
        "{} canaries, watched for {} s; {} at once; halts at {} failures",
        plan["canaries"], plan["soak_seconds"], plan["parallelism"], plan["max_failures"]
    );
    if plan["pause_seconds"] != 0 {
        println!("batches of {}, {} s between them", plan["batch_size"], plan["pause_seconds"]);
    }
    for run in plan["waits_for"].as_array().into_iter().flatten() {
        println!("{} would have to end first", text(run));
    }
    if !is_empty(&plan["not_served_by"]) {
        println!("\nthese data planes are up and would refuse tenants at version {}:", plan["target_version"]);
        print(connection, &plan["not_served_by"], &["host", "replica_id", "oldest_version", "newest_version"])?;
        println!("the run is refused as long as they are, unless it is told --ignore-served-versions\n");
    }
    if !is_empty(&plan["versions"]) {
        print(connection, &plan["versions"], &["version", "schemas", "failed_before"])?;
    }
    if !is_empty(&plan["held"]) {
        println!("\nheld back:");
        print(connection, &plan["held"], &["name", "from_version", "up_to_version", "reason"])?;
    }
    if plan["blocked"].as_u64().is_some_and(|blocked| blocked > 0) {
        println!(
            "\n{} more differ from their template and are passed by: rowhouse migrate verify names them",
            plan["blocked"]
        );
    }
    show_migrations(plan);
    let schemas = &plan["schemas"];
    if !is_empty(&schemas["items"]) {
        println!();
        let columns = ["position", "is_canary", "batch", "name", "from_version", "to_version", "has_failed_before"];
        print(connection, &schemas["items"], &columns)?;
    }
    if let Some(cursor) = schemas["next_cursor"].as_str() {
        println!("… and more: --cursor {cursor}");
    }
    Ok(())
}

/// Each migration with what the linter says of it.
pub(super) fn show_migrations(plan: &Value) {
    for migration in plan["migrations"].as_array().into_iter().flatten() {
        println!("\n-- V{}__{} ({})", migration["version"], text(&migration["name"]), text(&migration["kind"]));
        println!("{}", text(&migration["sql"]).trim_end());
        for warning in migration["warnings"].as_array().into_iter().flatten() {
            let part = |name: &str| text(&warning[name]);
            println!("-- line {}: {} [{}]\n--     {}", part("line"), part("message"), part("rule"), part("safe_way"));
        }
    }
}

/// As it stands in a query, or is read by people.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
