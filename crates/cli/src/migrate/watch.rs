//! Watches a run: a bar for people, lines where there is no terminal, JSON at the end where it was asked for.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde_json::Value;

use super::dry_run;
use crate::exit::Exit;
use crate::remote::{Api, Connection, is_away, print};

const BETWEEN_LOOKS: Duration = Duration::from_millis(300);
/// Where there is no terminal, a line is written this often.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Exit codes of a run that is not done, or not whole.
const HALTED: u8 = 3;
const SOME_FAILED: u8 = 4;
const STOPPED: u8 = 5;
const PASSED_BY: u8 = 7;

/// How long a control plane may be away, as it is while it is replaced: the run goes on meanwhile, and so does the watch.
const PATIENCE: Duration = Duration::from_secs(120);
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// Watches a run until it is over, or somebody has to decide.
pub(super) async fn watch(api: &Api<'_>, connection: &Connection, id: &str) -> Result<()> {
    let path = format!("/v1/migration-runs/{id}");
    let mut show = Show::new(connection);
    loop {
        let run = look(api, &path).await?;
        show.step(&run);
        if run["state"] != "running" {
            show.end(&run);
            return conclude(api, connection, &path, &run).await;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Watches a run of a control plane that was not asked for anything yet: where nobody is, there is nothing to wait for.
pub(super) async fn watch_anew(api: &Api<'_>, connection: &Connection, id: &str) -> Result<()> {
    let _ = api.look(&format!("/v1/migration-runs/{id}")).await?;
    watch(api, connection, id).await
}

/// Reads a run, of a control plane that may be away for a while. What it refuses is no such case.
async fn look(api: &Api<'_>, path: &str) -> Result<Value> {
    let begun = Instant::now();
    loop {
        match api.look(path).await {
            Err(error) if is_away(&error) && begun.elapsed() < PATIENCE => tokio::time::sleep(BETWEEN_TRIES).await,
            answer => return answer,
        }
    }
}

async fn conclude(api: &Api<'_>, connection: &Connection, path: &str, run: &Value) -> Result<()> {
    let failed = run["counts"]["failed"].as_u64().unwrap_or_default();
    if !run["dry_run"].is_null() {
        dry_run::show(api, connection, path, run).await?;
    } else if connection.json {
        println!("{}", serde_json::to_string_pretty(run)?);
    } else if failed > 0 {
        let failures = api.list(&format!("{path}/schemas?state=failed"), 20).await?;
        print(connection, &failures, &["name", "from_version", "sqlstate", "error"])?;
    }
    let id = run["id"].as_str().unwrap_or_default();
    let reason = run["reason"].as_str().unwrap_or_default();
    match run["state"].as_str().unwrap_or_default() {
        "done" if failed == 0 => match passed_by(run) {
            Some(reason) => Err(Exit::new(PASSED_BY, reason).into()),
            None => Ok(()),
        },
        "done" if !run["dry_run"].is_null() => {
            Err(Exit::new(SOME_FAILED, format!("{failed} schemas would fail")).into())
        }
        "done" => Err(Exit::new(SOME_FAILED, format!("{failed} schemas failed; another run tries them again")).into()),
        "halted" => {
            let advice = format!("{reason}. When it is mended: rowhouse migrate resume {id}");
            Err(Exit::new(HALTED, advice).into())
        }
        state => Err(Exit::new(STOPPED, format!("the run is {state}: {reason}")).into()),
    }
}

/// What a run is done without; who is gone or held back is not missed.
fn passed_by(run: &Value) -> Option<String> {
    let count = |name: &str| run["counts"][name].as_u64().filter(|number| *number > 0);
    if let Some(number) = count("skipped").filter(|_| run["dry_run"] == "clone") {
        return Some(format!("{number} schemas were not tried out: --in-place tries them out where they are"));
    }
    count("blocked").map(|number| {
        format!("{number} schemas differ from their template and were passed by: rowhouse migrate verify names them")
    })
}

/// How progress is shown.
struct Show {
    bar: Option<ProgressBar>,
    is_silent: bool,
    begun: Instant,
    /// What was finished before anybody watched: it says nothing of how fast the run is.
    finished_before: Option<u64>,
    last_line: Option<Instant>,
}

impl Show {
    fn new(connection: &Connection) -> Self {
        let bar = (!connection.json && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({elapsed})");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, is_silent: connection.json, begun: Instant::now(), finished_before: None, last_line: None }
    }

    fn step(&mut self, run: &Value) {
        let count = |name: &str| run["counts"][name].as_u64().unwrap_or_default();
        let finished = count("done") + count("failed") + count("skipped");
        let all = finished + count("running") + count("left");
        let before = *self.finished_before.get_or_insert(finished);
        let (rate, left) = pace(finished.saturating_sub(before), all - finished, self.begun.elapsed());
        let phase = run["phase"].as_str().unwrap_or_default();
        let mut said = format!("{phase}: {} running, {} failed, {rate:.1}/s", count("running"), count("failed"));
        if let (Some(name), Some(seconds)) = (run["slowest"]["name"].as_str(), run["slowest"]["seconds"].as_f64()) {
            let _ = write!(said, ", slowest {name} for {seconds:.0} s");
        }
        if let Some(left) = left {
            let _ = write!(said, ", {:#} left", HumanDuration(left));
        }
        if let Some(bar) = &self.bar {
            bar.set_length(all);
            bar.set_position(finished);
            bar.set_message(said);
        } else if !self.is_silent && self.last_line.is_none_or(|last| last.elapsed() >= BETWEEN_LINES) {
            self.last_line = Some(Instant::now());
            eprintln!("{finished} of {all} {said}");
        }
    }

    fn end(&self, run: &Value) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.is_silent {
            eprintln!("{}", summary(run, self.begun.elapsed()));
        }
    }
}

/// Schemas a second, and how long those that are left take at that; none where nothing was finished yet.
#[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
fn pace(finished: u64, left: u64, elapsed: Duration) -> (f64, Option<Duration>) {
    let rate = finished as f64 / elapsed.as_secs_f64().max(0.001);
    let left = (finished > 0).then(|| Duration::try_from_secs_f64((left as f64 / rate).ceil()).ok()).flatten();
    (rate, left)
}

/// What became of a run, in a line.
fn summary(run: &Value, watched: Duration) -> String {
    let counts = ["done", "failed", "skipped", "held", "blocked", "left"].map(|name| {
        let number = run["counts"][name].as_u64().unwrap_or_default();
        (name, number)
    });
    let counts = counts.iter().filter(|(name, number)| *name == "done" || *number > 0);
    let counts: Vec<String> = counts.map(|(name, number)| format!("{number} {name}")).collect();
    let dry = if run["dry_run"].is_null() { "" } else { "dry " };
    let state = run["state"].as_str().unwrap_or_default();
    let version = &run["target_version"];
    format!("{dry}run to version {version} {state} after {:.1} s: {}", watched.as_secs_f64(), counts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_rate_is_that_of_what_was_watched() {
        let minute = Duration::from_secs(60);
        assert_eq!(pace(0, 500, minute), (0.0, None));
        assert_eq!(pace(30, 100, minute), (0.5, Some(Duration::from_secs(200))));
        assert_eq!(pace(500, 0, minute).1, Some(Duration::ZERO));
    }

    #[test]
    fn what_was_passed_by_is_told() {
        let run = |dry_run: Value, skipped: u64, blocked: u64| json!({"dry_run": dry_run, "counts": {"skipped": skipped, "blocked": blocked}});
        assert_eq!(passed_by(&run(Value::Null, 1, 0)), None, "it is gone");
        assert!(passed_by(&run(Value::Null, 0, 2)).unwrap().starts_with("2 schemas differ"));
        assert!(passed_by(&run(json!("clone"), 3, 0)).unwrap().starts_with("3 schemas were not tried out"));
        assert_eq!(passed_by(&run(json!("clone"), 0, 0)), None);
        assert_eq!(passed_by(&run(json!("in_place"), 1, 0)), None, "it is gone");
    }
}
