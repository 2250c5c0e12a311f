//! A private house for a bench: `rowhouse dev` on free ports in a temporary folder on the disk of the target folder.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Client;
use rowhouse_domain::{RateLimit, Tier};
use rowhouse_keys::MasterKey;
use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_postgres::NoTls;

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

/// How a house is to be.
#[derive(Default)]
pub(crate) struct Wanted<'a> {
    /// A folder to keep; a temporary one unless given.
    pub(crate) folder: Option<&'a Path>,
    /// Settings of its own, as environment variables.
    pub(crate) settings: Vec<(&'a str, String)>,
    /// `max_connections` of its PostgreSQL; 100 unless given.
    pub(crate) connections: Option<u16>,
}

/// Limits that nothing reaches, as environment variables. Not none, as `rowhouse dev` has it: counting is part of a request.
fn rate_limits() -> impl Iterator<Item = (String, String)> {
    let tiers = |whose: &str| Tier::ALL.iter().map(|tier| format!("{whose}__{tier}")).collect::<Vec<_>>();
    let limits = [vec!["address".to_owned()], tiers("tenant"), tiers("key")].concat();
    limits.into_iter().flat_map(|limit| {
        ["per_second", "burst"].map(|part| {
            let name = format!("RATE_LIMITS__{limit}__{part}").to_uppercase();
            (format!("ROWHOUSE__{name}"), RateLimit::MOST.to_string())
        })
    })
}

/// A running house.
pub(crate) struct House {
    pub(crate) ready: Ready,
    pub(crate) http: Client,
    folder: PathBuf,
    /// Deleted with the house.
    temporary: Option<TempDir>,
    child: Child,
}

impl House {
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with some settings of its own, as environment variables.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self::start_as(Wanted { settings, ..Wanted::default() }).await
    }

    /// The same as it is wanted.
    pub(crate) async fn start_as(wanted: Wanted<'_>) -> Result<Self> {
        let program = beside("rowhouse")?;
        let (folder, temporary) = match wanted.folder {
            Some(folder) => {
                std::fs::create_dir_all(folder)?;
                (folder.canonicalize()?, None)
            }
            None => {
                let folder = temporary()?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let log = std::fs::File::create(folder.join("dev.log"))?;
        let mut command = Command::new(&program);
        command.args(["dev", "--json", "--control-port", "0", "--data-port", "0", "--data-dir"]);
        command.arg(folder.join("house")).args(["--pg-port", &port(&folder)?.to_string()]);
        command.envs(rate_limits()).envs(wanted.settings);
        if let Some(connections) = wanted.connections {
            command.args(["--pg-connections", &connections.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        let output = child.stdout.take().context("standard output is piped")?;
        let line = tokio::time::timeout(PATIENCE, BufReader::new(output).lines().next_line()).await;
        let Ok(Ok(Some(line))) = line else {
            let log = std::fs::read_to_string(folder.join("dev.log")).unwrap_or_default();
            bail!("rowhouse dev did not become ready:\n{log}");
        };
        Ok(Self { ready: serde_json::from_str(&line)?, http: Client::new(), folder, temporary, child })
    }

    /// The folder that the house and its log are in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A superuser's connection to `saas_platform`.
    pub(crate) async fn superuser(&self) -> Result<tokio_postgres::Client> {
        connect(&self.ready.postgres).await
    }

    /// Where the house's PostgreSQL listens.
    pub(crate) fn postgres_port(&self) -> Result<u16> {
        let config: tokio_postgres::Config = self.ready.postgres.parse()?;
        config.get_ports().first().copied().context("the cluster's address names a port")
    }

    /// The key that tenants' database passwords are derived from.
    pub(crate) fn master_key(&self) -> Result<MasterKey> {
        let text = std::fs::read_to_string(self.folder.join("house/secrets.toml"))?;
        let secrets: Secrets = toml::from_str(&text)?;
        Ok(MasterKey::parse(&SecretString::from(secrets.master_key))?)
    }

    /// Another data plane on the same settings and another port, as a process of its own.
    pub(crate) async fn replica(&self, settings: &[(&str, String)]) -> Result<Replica> {
        let port = free_port()?;
        let log = std::fs::File::create(self.folder.join("replica.log"))?;
        let child = Command::new(beside("data-plane")?)
            .arg("--settings")
            .arg(self.folder.join("house/data-plane.toml"))
            .env("ROWHOUSE__DATA_PLANE__PORT", port.to_string())
            .env("ROWHOUSE__ADMIN__PORT", "0")
            .envs(rate_limits())
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let replica = Replica { url: format!("http://127.0.0.1:{port}"), child };
        let begun = Instant::now();
        while !matches!(self.http.get(format!("{}/readyz", replica.url)).send().await, Ok(answer) if answer.status() == 200)
        {
            ensure!(begun.elapsed() < PATIENCE, "the second data plane did not become ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(replica)
    }

    /// The process id of a service.
    pub(crate) fn pid(&self, service: &str) -> Result<u32> {
        let file = self.folder.join("house").join(format!("{service}.pid"));
        Ok(std::fs::read_to_string(file)?.trim().parse()?)
    }

    /// Creates something in the control plane.
    pub(crate) async fn create(&self, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.ready.control_plane);
        let request = self.http.post(url).bearer_auth(&self.ready.admin_key).header("prefer", "wait=60");
        let answer = request.json(body).send().await?;
        ensure!(answer.status().as_u16() == 201, "{path} answered {}: {}", answer.status(), answer.text().await?);
        Ok(answer.json().await?)
    }

    /// Sets what all replicas together may hold of each cluster.
    pub(crate) async fn set_budget(&self, budget: usize) -> Result<()> {
        let url = format!("{}/v1/clusters", self.ready.control_plane);
        let clusters = self.http.get(&url).bearer_auth(&self.ready.admin_key).send().await?.error_for_status()?;
        let clusters: Value = clusters.json().await?;
        for cluster in clusters["items"].as_array().context("a list of clusters")? {
            let change = self.http.patch(format!("{url}/{}", id(cluster)?)).bearer_auth(&self.ready.admin_key);
            let answer = change.json(&json!({"budget": budget})).send().await?;
            ensure!(answer.status() == 200, "a budget of {budget}: {} {}", answer.status(), answer.text().await?);
        }
        Ok(())
    }

    /// An organization with room enough.
    pub(crate) async fn organization(&self) -> Result<String> {
        // A kept house has those of earlier runs.
        let email = format!("{}@example.org", rowhouse_domain::OrganizationId::new());
        let body = json!({"name": "Bench", "email": email, "subscription_tier": "enterprise", "max_tenants": 100_000});
        id(&self.create("/v1/organizations", &body).await?)
    }

    /// Stops everything; a temporary folder is deleted.
    pub(crate) async fn stop(mut self) -> Result<()> {
        terminate(&mut self.child).await?;
        let Some(temporary) = self.temporary else { return Ok(()) };
        demolish(temporary.path()).await
    }
}

/// The folder of a house that is started more than once: one to keep, or one that is deleted afterwards.
pub(crate) struct Ground {
    pub(crate) folder: PathBuf,
    temporary: Option<TempDir>,
}

impl Ground {
    /// The folder to keep; a temporary one beside the programs unless given.
    pub(crate) fn of(kept: Option<&Path>) -> Result<Self> {
        if let Some(kept) = kept {
            return Ok(Self { folder: kept.to_owned(), temporary: None });
        }
        let temporary = temporary()?;
        Ok(Self { folder: temporary.path().to_owned(), temporary: Some(temporary) })
    }

    /// Deletes what is not to be kept.
    pub(crate) async fn clear(self) -> Result<()> {
        match self.temporary {
            Some(temporary) => demolish(temporary.path()).await,
            None => Ok(()),
        }
    }
}

/// On the disk of the programs, whose folder has room for databases.
fn temporary() -> Result<TempDir> {
    let program = beside("rowhouse")?;
    let target = program.parent().and_then(Path::parent).context("the programs lie in a target folder")?;
    Ok(tempfile::Builder::new().prefix("bench-").tempdir_in(target)?)
}

/// Deletes what a house left in its folder.
async fn demolish(folder: &Path) -> Result<()> {
    let house = folder.join("house");
    Command::new(beside("rowhouse")?).args(["dev", "reset", "--yes", "--data-dir"]).arg(house).status().await?;
    Ok(())
}

/// A second data plane.
pub(crate) struct Replica {
    pub(crate) url: String,
    child: Child,
}

impl Replica {
    pub(crate) async fn stop(mut self) -> Result<()> {
        terminate(&mut self.child).await
    }
}

/// The port of the house's PostgreSQL: in a folder that is kept always the same, because its tenants' placements name it.
fn port(folder: &Path) -> Result<u16> {
    let file = folder.join("pg-port");
    if let Ok(text) = std::fs::read_to_string(&file) {
        return text.trim().parse().context("the port in pg-port");
    }
    let port = free_port()?;
    std::fs::write(&file, port.to_string())?;
    Ok(port)
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The secrets of a house, as far as they matter here.
#[derive(Deserialize)]
struct Secrets {
    master_key: String,
}

async fn terminate(child: &mut Child) -> Result<()> {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
        kill_process(pid, Signal::TERM)?;
    }
    child.wait().await?;
    Ok(())
}

/// A program of the same build.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// A connection of its own.
pub(crate) async fn connect(url: &str) -> Result<tokio_postgres::Client> {
    let config: tokio_postgres::Config = url.parse().context("the address of the cluster")?;
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The id in an answer.
pub(crate) fn id(answer: &Value) -> Result<String> {
    Ok(answer["id"].as_str().context("the answer has an id")?.to_owned())
}
