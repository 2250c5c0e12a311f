//! `rowhouse doctor`.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::Connection;
use super::api::Api;
use super::output::{done, print};

const COLUMNS: [&str; 6] = ["check", "cluster", "subject", "detail", "fix", "fixed"];

/// Compare what is recorded with what each cluster has.
#[derive(clap::Args)]
pub(crate) struct Doctor {
    /// Repair what is safe to repair.
    #[arg(long)]
    fix: bool,
    /// Look into this tenant only, `ten_…`.
    #[arg(long)]
    tenant: Option<String>,
    /// Look at the cluster of this name only.
    #[arg(long)]
    cluster: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `rowhouse doctor`. An error where differences remain, so that a script notices.
pub(crate) async fn run(arguments: Doctor) -> Result<()> {
    let connection = &arguments.connection;
    let api = Api::new(connection)?;
    let body = json!({"fix": arguments.fix, "tenant": arguments.tenant, "cluster": arguments.cluster});
    let mut answer = api.post("/v1/doctor", &body).await?;
    // Not done within the request: its operation will have the report.
    while answer["findings"].is_null() {
        let state = answer["state"].as_str().unwrap_or_default().to_owned();
        match state.as_str() {
            "queued" | "running" => {
                eprintln!("still looking …");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            "succeeded" => {
                answer = answer["result"].take();
                continue;
            }
            _ => bail!("the examination ended as {state}: {}", answer["error"].as_str().unwrap_or("no reason given")),
        }
        let operation = answer["id"].as_str().unwrap_or_default().to_owned();
        answer = api.get(&format!("/v1/operations/{operation}")).await?;
    }
    report(connection, &answer)
}

fn report(connection: &Connection, report: &Value) -> Result<()> {
    let (total, remaining) = (report["total"].as_u64().unwrap_or(0), report["remaining"].as_u64().unwrap_or(0));
    if connection.json {
        print(connection, report, &[])?;
    } else if total == 0 {
        done(
            connection,
            &format!("No differences on {} clusters with {} tenants.", report["clusters"], report["tenants"]),
        );
    } else {
        print(connection, &report["findings"], &COLUMNS)?;
    }
    let left_out: Vec<&str> = report["left_out"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !left_out.is_empty() {
        let (number, who) = (left_out.len(), left_out.join(", "));
        eprintln!("The storage of {number} was not counted, examine them once more: {who}");
    }
    if remaining > 0 {
        bail!("{remaining} of {total} differences remain");
    }
    Ok(())
}
