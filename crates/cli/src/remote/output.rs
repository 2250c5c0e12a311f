//! Answers as tables or as JSON.

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::Connection;

/// Prints an answer: the named members of one object, or of each object of a list.
pub(crate) fn print(connection: &Connection, answer: &Value, columns: &[&str]) -> Result<()> {
    if connection.json {
        println!("{}", serde_json::to_string_pretty(answer)?);
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(items) = answer.as_array() {
        table.set_header(columns.iter().map(|column| column.to_uppercase().replace('_', " ")));
        for item in items {
            table.add_row(columns.iter().map(|column| cell(&item[*column])));
        }
    } else {
        for column in columns {
            table.add_row([(*column).to_owned(), cell(&answer[*column])]);
        }
    }
    println!("{table}");
    Ok(())
}

/// Says that something was done, to people; scripts see the exit code.
pub(crate) fn done(connection: &Connection, text: &str) {
    if !connection.json {
        println!("{text}");
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
