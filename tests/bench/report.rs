//! What a bench found: a table for people, JSON for scripts.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

/// The lines of a report.
#[derive(Default)]
pub(crate) struct Report(Vec<Line>);

/// One figure, with its floor and its target where it has them.
struct Line {
    name: String,
    value: f64,
    unit: &'static str,
    floor: Option<f64>,
    target: Option<f64>,
    /// Whether a smaller value is the better one.
    less_is_better: bool,
}

impl Line {
    fn ratio(&self) -> Option<f64> {
        self.floor.map(|floor| self.value / floor)
    }

    /// The target is one of the ratio where there is a floor, else of the value.
    fn ok(&self) -> Option<bool> {
        let measured = self.ratio().unwrap_or(self.value);
        self.target.map(|target| if self.less_is_better { measured <= target } else { measured >= target })
    }
}

impl Report {
    /// A figure of which less is better.
    pub(crate) fn cost(&mut self, name: &str, value: f64, unit: &'static str, floor: Option<f64>, target: Option<f64>) {
        self.0.push(Line { name: name.to_owned(), value, unit, floor, target, less_is_better: true });
    }

    /// A figure of which more is better.
    pub(crate) fn rate(&mut self, name: &str, value: f64, unit: &'static str, floor: Option<f64>, target: Option<f64>) {
        self.0.push(Line { name: name.to_owned(), value, unit, floor, target, less_is_better: false });
    }

    /// The report for a terminal.
    pub(crate) fn table(&self) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table.set_header(["", "value", "unit", "floor", "ratio", "target", ""]);
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
        for line in &self.0 {
            let verdict = line.ok().map_or("", |ok| if ok { "ok" } else { "MISSED" });
            table.add_row([
                line.name.clone(),
                number(Some(line.value)),
                line.unit.to_owned(),
                number(line.floor),
                number(line.ratio()),
                number(line.target),
                verdict.to_owned(),
            ]);
        }
        table
    }

    /// Whether a target was missed.
    pub(crate) fn has_missed(&self) -> bool {
        self.0.iter().any(|line| line.ok() == Some(false))
    }

    /// Writes the report as JSON.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let lines: Vec<Value> = self
            .0
            .iter()
            .map(|line| {
                json!({
                    "name": line.name, "value": line.value, "unit": line.unit, "floor": line.floor,
                    "ratio": line.ratio(), "target": line.target, "ok": line.ok(),
                })
            })
            .collect();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, serde_json::to_string_pretty(&lines)?)?;
        Ok(())
    }
}
