//! Runs of migrations, asked for as an operator does.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::house::House;

/// The migration that is measured.
pub(super) const FORWARD: &str = "alter table workspaces add column bench text";
pub(super) const BACK: &str = "alter table workspaces drop column bench";
pub(super) const NAME: &str = "bench";
/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// The version that the measured migration brings a schema to.
pub(super) fn version() -> i32 {
    i32::try_from(rowhouse_migrations::Set::Tenant.latest()).unwrap_or(i32::MAX) + 1
}

/// A folder with this release's migrations and the one that is measured.
pub(super) fn lay_out(folder: &Path) -> Result<PathBuf> {
    let released = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tenant-migrations");
    let migrations = folder.join("migrations");
    for part in ["", "undo"] {
        fs::create_dir_all(migrations.join(part))?;
        for entry in fs::read_dir(released.join(part)).context("the bench runs where its sources are")? {
            let path = entry?.path();
            if let Some(name) = path.file_name().filter(|_| path.is_file()) {
                fs::copy(&path, migrations.join(part).join(name))?;
            }
        }
    }
    let version = version();
    fs::write(migrations.join(format!("V{version}__{NAME}.sql")), format!("{FORWARD};\n"))?;
    fs::write(migrations.join(format!("undo/{version}__{NAME}.sql")), format!("{BACK};\n"))?;
    Ok(migrations)
}

/// The tenants of a house.
pub(super) struct Fleet<'a> {
    house: &'a House,
    platform: tokio_postgres::Client,
    parallel: usize,
}

/// A run that is done.
pub(super) struct Done {
    schemas: u32,
    seconds: f64,
}

impl Done {
    /// How many it has migrated.
    pub(super) fn schemas(&self) -> u32 {
        self.schemas
    }

    /// Schemas a second.
    pub(super) fn rate(&self) -> f64 {
        f64::from(self.schemas) / self.seconds
    }
}

impl<'a> Fleet<'a> {
    pub(super) async fn of(house: &'a House, parallel: usize) -> Result<Self> {
        Ok(Self { house, platform: house.superuser().await?, parallel })
    }

    /// Brings all schemas `up` or `down`, and waits.
    pub(super) async fn go(&self, direction: &str) -> Result<Done> {
        let run = self.start(direction).await?;
        self.wait_for(&run).await
    }

    /// Brings all schemas forward and compares none with its template, as the program that it is measured against.
    pub(super) async fn go_unverified(&self) -> Result<Done> {
        let run = self.begin("up", json!({"verify": "canaries"})).await?;
        self.wait_for(&run).await
    }

    /// Starts a run and says its address.
    pub(super) async fn start(&self, direction: &str) -> Result<String> {
        self.begin(direction, json!({})).await
    }

    async fn begin(&self, direction: &str, further: Value) -> Result<String> {
        let to = if direction == "up" { version() } else { version() - 1 };
        let mut body =
            json!({"direction": direction, "to": to, "canary": "0", "parallel": self.parallel, "max_failures": "1"});
        for (name, value) in further.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let run = self.house.create("/v1/migration-runs", &body).await?;
        Ok(format!("{}/v1/migration-runs/{}", self.house.ready.control_plane, run["id"].as_str().context("an id")?))
    }

    pub(super) async fn wait_for(&self, run: &str) -> Result<Done> {
        let begun = Instant::now();
        loop {
            // Seldom: looking is work, too. The run itself says when it ended.
            tokio::time::sleep(Duration::from_millis(250)).await;
            let answer = self.house.http.get(run).bearer_auth(&self.house.ready.admin_key).send().await?;
            let answer: Value = answer.error_for_status()?.json().await?;
            let state = answer["state"].as_str().unwrap_or_default().to_owned();
            ensure!(["running", "done"].contains(&state.as_str()), "a run is {state}: {answer}");
            ensure!(begun.elapsed() < PATIENCE, "a run does not end: {answer}");
            if state == "done" {
                let of = |member: &str| {
                    answer[member].as_str().context("a time").and_then(|text| Ok(text.parse::<jiff::Timestamp>()?))
                };
                let seconds = of("ended_at")?.duration_since(of("created_at")?).as_secs_f64();
                let schemas = answer["counts"]["done"].as_u64().and_then(|count| u32::try_from(count).ok());
                return Ok(Done { schemas: schemas.context("a count")?, seconds });
            }
        }
    }

    /// So that the first run does not pay for what was written before it.
    pub(super) async fn checkpoint(&self) -> Result<()> {
        self.platform.batch_execute("checkpoint").await.context("a checkpoint")
    }
}
