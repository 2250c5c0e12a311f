//! A private house for a bench: `rowhouse dev` on free ports in a temporary folder on the disk of the target folder.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long the house may take to be ready.
const PATIENCE: Duration = Duration::from_secs(90);

/// What `rowhouse dev --json` says when it is ready.
#[derive(Deserialize)]
pub(crate) struct Ready {
    pub(crate) control_plane: String,
    pub(crate) data_plane: String,
    pub(crate) admin_key: String,
    pub(crate) postgres: String,
}

/// A running house.
pub(crate) struct House {
    pub(crate) ready: Ready,
    pub(crate) folder: TempDir,
    pub(crate) http: Client,
    child: Child,
}

impl House {
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with some settings of its own, as environment variables.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("rowhouse");
        let beside =
            program.parent().and_then(std::path::Path::parent).context("the programs lie in a target folder")?;
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(beside)?;
        let log = std::fs::File::create(folder.path().join("dev.log"))?;
        let mut child = Command::new(&program)
            .args(["dev", "--json", "--control-port", "0", "--data-port", "0", "--pg-port", "0", "--data-dir"])
            .arg(folder.path().join("house"))
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let output = child.stdout.take().context("standard output is piped")?;
        let line = tokio::time::timeout(PATIENCE, BufReader::new(output).lines().next_line()).await;
        let Ok(Ok(Some(line))) = line else {
            let log = std::fs::read_to_string(folder.path().join("dev.log")).unwrap_or_default();
            bail!("rowhouse dev did not become ready:\n{log}");
        };
        Ok(Self { ready: serde_json::from_str(&line)?, folder, http: Client::new(), child })
    }

    /// The process id of a service.
    pub(crate) fn pid(&self, service: &str) -> Result<u32> {
        let file = self.folder.path().join("house").join(format!("{service}.pid"));
        Ok(std::fs::read_to_string(file)?.trim().parse()?)
    }

    /// Creates something in the control plane.
    pub(crate) async fn create(&self, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.ready.control_plane);
        let answer = self.http.post(url).bearer_auth(&self.ready.admin_key).json(body).send().await?;
        ensure!(answer.status().as_u16() == 201, "{path} answered {}: {}", answer.status(), answer.text().await?);
        Ok(answer.json().await?)
    }

    /// An organization with room enough.
    pub(crate) async fn organization(&self) -> Result<String> {
        let body = json!({"name": "Bench", "email": "bench@example.org", "subscription_tier": "enterprise"});
        id(&self.create("/v1/organizations", &body).await?)
    }

    /// Stops everything and deletes the folder.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        self.child.wait().await?;
        let rowhouse = std::env::current_exe()?.with_file_name("rowhouse");
        let folder = self.folder.path().join("house");
        Command::new(rowhouse).args(["dev", "reset", "--yes", "--data-dir"]).arg(folder).status().await?;
        Ok(())
    }
}

/// The id in an answer.
pub(crate) fn id(answer: &Value) -> Result<String> {
    Ok(answer["id"].as_str().context("the answer has an id")?.to_owned())
}
