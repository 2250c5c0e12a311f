//! `rowhouse cluster`.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::Connection;
use super::api::Api;
use super::output::{done, print};
use crate::cluster::{self, Bootstrap};

const LIST: [&str; 9] =
    ["id", "name", "address", "status", "accepting", "weight", "tenants", "connections", "server_version"];
const SHOW: [&str; 19] = [
    "id",
    "name",
    "address",
    "login",
    "credential",
    "tls",
    "has_tls_ca",
    "status",
    "accepting",
    "weight",
    "budget",
    "labels",
    "tenants",
    "is_reachable",
    "error",
    "connections",
    "bytes",
    "server_version",
    "checked_at",
];
/// Where a script puts a password that a terminal's history and the list of processes must not show.
const PASSWORD: &str = "ROWHOUSE_CLUSTER_PASSWORD";

/// The PostgreSQL clusters that tenants live in.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make the roles, the base database and saas_platform on a server, or print the SQL that does.
    ///
    /// Passwords are read from ROWHOUSE_CONTROL_PASSWORD and ROWHOUSE_DATA_PASSWORD; only their
    /// SCRAM verifiers become part of the SQL.
    Bootstrap(Box<Bootstrap>),
    /// Register a server that was bootstrapped.
    ///
    /// The password of its login is read from ROWHOUSE_CLUSTER_PASSWORD or from standard input, and is
    /// kept encrypted; without one, the password of saas_platform is used.
    Register {
        /// What requests call it, e.g. `eu-1`.
        name: String,
        /// Host name or address.
        #[arg(long)]
        host: String,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// List the clusters, each as it was last seen.
    List {
        /// Most to list.
        #[arg(long, default_value_t = 200)]
        limit: usize,
    },
    /// Show one.
    Show {
        /// Its name, or its id, `clu_…`.
        cluster: String,
    },
    /// Place no new tenants there; those that are there stay.
    Drain {
        /// Its name, or its id, `clu_…`.
        cluster: String,
    },
    /// Place new tenants there again.
    Accept {
        /// Its name, or its id, `clu_…`.
        cluster: String,
    },
    /// Change its address, credentials, TLS, labels, weight or budget. A new way in is tried before it counts.
    Update {
        /// Its name, or its id, `clu_…`.
        cluster: String,
        /// Another name.
        #[arg(long)]
        name: Option<String>,
        /// Another address.
        #[arg(long)]
        host: Option<String>,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Remove one that holds no tenants, deleted ones that can be restored included.
    Remove {
        /// Its name, or its id, `clu_…`.
        cluster: String,
        /// Forget it even where its server does not answer, and leave what is there.
        #[arg(long)]
        force: bool,
    },
}

/// What registering and changing have in common.
#[derive(Args)]
pub(crate) struct Settings {
    /// Port; 5432, unless given.
    #[arg(long)]
    port: Option<u16>,
    /// The control plane's login there; `rowhouse_control`, unless given.
    #[arg(long)]
    login: Option<String>,
    /// Read its password from standard input.
    #[arg(long)]
    password_stdin: bool,
    /// Instead of a password: the entry of `cluster_credentials` in the control plane's settings.
    #[arg(long)]
    credential_ref: Option<String>,
    /// Whether the server's certificate and name are checked; they are, unless it says otherwise.
    #[arg(long)]
    tls: Option<Mode>,
    /// File with the certificates (PEM) of its authority; without, that of the control plane's settings counts.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// A label, `region=eu`; may be repeated. Changing labels replaces all of them.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// Its share of new tenants; 100, unless given.
    #[arg(long)]
    weight: Option<i32>,
    /// Connections that the data plane is meant to hold; 80, unless given.
    #[arg(long)]
    budget: Option<i32>,
}

/// How connections are secured.
#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// The certificate and the name are checked.
    #[value(name = "verify_full", alias = "verify-full")]
    VerifyFull,
    /// In the clear: loopback and private networks only.
    Disable,
}

impl Settings {
    fn body(&self) -> Result<Map<String, Value>> {
        let mut body = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        set("port", self.port.map(Value::from));
        set("login", self.login.clone().map(Value::from));
        set("password", self.password()?.map(Value::from));
        set("credential_ref", self.credential_ref.clone().map(Value::from));
        set(
            "tls",
            self.tls.map(|mode| match mode {
                Mode::VerifyFull => json!("verify_full"),
                Mode::Disable => json!("disable"),
            }),
        );
        if let Some(file) = &self.tls_ca {
            let pem = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            set("tls_ca", Some(json!(pem)));
        }
        if !self.labels.is_empty() {
            let labels = self.labels.iter().map(|label| match label.split_once('=') {
                Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), Value::from(value))),
                Some(_) | None => bail!("`{label}` is no label: write it as name=value"),
            });
            set("labels", Some(Value::Object(labels.collect::<Result<_>>()?)));
        }
        set("weight", self.weight.map(Value::from));
        set("budget", self.budget.map(Value::from));
        Ok(body)
    }

    fn password(&self) -> Result<Option<String>> {
        if self.password_stdin {
            let mut password = String::new();
            std::io::stdin().read_to_string(&mut password).context("cannot read a password from standard input")?;
            let password = password.trim_end_matches(['\r', '\n']);
            if password.is_empty() {
                bail!("standard input has no password");
            }
            return Ok(Some(password.to_owned()));
        }
        #[expect(clippy::disallowed_methods, reason = "an argument would show the password in the list of processes")]
        let password = std::env::var(PASSWORD).ok();
        Ok(password.filter(|password| !password.is_empty()))
    }
}

pub(super) async fn run(command: Command, connection: &Connection) -> Result<()> {
    if let Command::Bootstrap(arguments) = command {
        return cluster::run(*arguments).await;
    }
    let api = Api::new(connection)?;
    match command {
        Command::Bootstrap(_) => Ok(()),
        Command::Register { name, host, settings } => {
            let mut body = settings.body()?;
            body.insert("name".to_owned(), json!(name));
            body.insert("host".to_owned(), json!(host));
            show(connection, api.post("/v1/clusters", &Value::Object(body)).await?)
        }
        Command::List { limit } => {
            let mut clusters = api.list("/v1/clusters", limit).await?;
            if !connection.json {
                clusters.as_array_mut().into_iter().flatten().for_each(flatten);
            }
            print(connection, &clusters, &LIST)
        }
        Command::Show { cluster } => show(connection, api.get(&path(&api, &cluster).await?).await?),
        Command::Drain { cluster } => accept(&api, connection, &cluster, json!({"accepting": false})).await,
        Command::Accept { cluster } => accept(&api, connection, &cluster, json!({"accepting": true})).await,
        Command::Update { cluster, name, host, settings } => {
            let mut body = settings.body()?;
            body.extend(name.map(|name| ("name".to_owned(), json!(name))));
            body.extend(host.map(|host| ("host".to_owned(), json!(host))));
            if body.is_empty() {
                bail!("nothing to change");
            }
            show(connection, api.patch(&path(&api, &cluster).await?, &Value::Object(body)).await?)
        }
        Command::Remove { cluster, force } => {
            let query = if force { "?force=true" } else { "" };
            api.delete(&format!("{}{query}", path(&api, &cluster).await?)).await?;
            done(connection, &format!("{cluster} is removed"));
            Ok(())
        }
    }
}

async fn accept(api: &Api<'_>, connection: &Connection, cluster: &str, body: Value) -> Result<()> {
    show(connection, api.patch(&path(api, cluster).await?, &body).await?)
}

/// The address of a cluster that was named by its id or by its name, which never looks like one.
async fn path(api: &Api<'_>, cluster: &str) -> Result<String> {
    if cluster.starts_with("clu_") {
        return Ok(format!("/v1/clusters/{cluster}"));
    }
    let all = api.list("/v1/clusters", usize::MAX).await?;
    let found = all.as_array().into_iter().flatten().find(|one| one["name"] == cluster);
    match found.and_then(|one| one["id"].as_str()) {
        Some(id) => Ok(format!("/v1/clusters/{id}")),
        None => bail!("no cluster is called `{cluster}`"),
    }
}

fn show(connection: &Connection, mut cluster: Value) -> Result<()> {
    if !connection.json {
        flatten(&mut cluster);
    }
    print(connection, &cluster, &SHOW)
}

/// Puts what a person reads together into members of their own.
fn flatten(cluster: &mut Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let address = format!("{}:{}", text(&cluster["host"]), cluster["port"]);
    cluster["address"] = json!(address);
    let health = cluster["health"].take();
    for member in ["is_reachable", "error", "bytes", "server_version", "checked_at"] {
        cluster[member] = health[member].clone();
    }
    if health["max_connections"].is_number() {
        cluster["connections"] = json!(format!("{}/{}", health["used_connections"], health["max_connections"]));
    }
}
