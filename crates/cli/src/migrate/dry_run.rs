//! What a dry run has found, schema by schema.

use anyhow::Result;
use serde_json::{Value, json};

use crate::remote::{Api, Connection, print};

/// Schemas that are listed at the end.
const MOST: usize = 10_000;
const COLUMNS: [&str; 7] = ["name", "outcome", "where", "took", "locks", "error", "note"];

/// Prints each schema's steps and locks; as JSON, they are the run's member `schemas`.
pub(super) async fn show(api: &Api<'_>, connection: &Connection, path: &str, run: &Value) -> Result<()> {
    let schemas = api.list(&format!("{path}/schemas"), MOST).await?;
    if connection.json {
        let mut run = run.clone();
        run["schemas"] = schemas;
        return print(connection, &run, &[]);
    }
    let rows: Vec<Value> = schemas.as_array().into_iter().flatten().map(row).collect();
    print(connection, &Value::Array(rows), &COLUMNS)
}

fn row(schema: &Value) -> Value {
    let steps: Vec<&Value> = schema["steps"].as_array().into_iter().flatten().collect();
    let took: u64 = steps.iter().filter_map(|step| step["milliseconds"].as_u64()).sum();
    let locks = steps.iter().flat_map(|step| step["locks"].as_array().into_iter().flatten()).map(lock);
    let skipped =
        steps.iter().filter(|step| step["outcome"] == "skipped").map(|step| format!("{} skipped", name(step)));
    let notes = schema["note"].as_str().map(str::to_owned).into_iter().chain(skipped);
    json!({
        "name": schema["name"],
        "outcome": match schema["state"].as_str() {
            Some("failed") => "would fail",
            Some("skipped") => "not tried",
            _ => "works",
        },
        "where": schema["rehearsed"],
        "took": format!("{took} ms"),
        "locks": locks.collect::<Vec<_>>().join(", "),
        "error": schema["error"],
        "note": notes.collect::<Vec<_>>().join("; "),
    })
}

fn name(step: &Value) -> String {
    format!("V{}__{}", step["version"], step["name"].as_str().unwrap_or_default())
}

fn lock(lock: &Value) -> String {
    let part = |name: &str| lock[name].as_str().unwrap_or_default();
    format!("{} {} {} ms", part("relation"), part("mode"), lock["milliseconds"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_locks_and_what_was_left_out() {
        let lock = json!({"relation": "files", "mode": "AccessExclusiveLock", "blocks_reads": true, "milliseconds": 3});
        let row = row(&json!({"name": "acme", "state": "done", "rehearsed": "in_place", "error": null,
            "note": "in a hurry", "steps": [
                {"version": 7, "name": "labels", "milliseconds": 3, "outcome": "works", "locks": [lock]},
                {"version": 8, "name": "index", "milliseconds": 0, "outcome": "skipped", "locks": []}]}));
        assert_eq!((&row["outcome"], &row["took"]), (&json!("works"), &json!("3 ms")));
        assert_eq!(row["locks"], "files AccessExclusiveLock 3 ms");
        assert!(row["note"].as_str().unwrap().ends_with("; V8__index skipped"), "{row}");
        let busy =
            json!({"name": "acme", "state": "skipped", "note": "not cloned: somebody is connected", "steps": []});
        assert_eq!(self::row(&busy)["outcome"], "not tried");
    }
}
