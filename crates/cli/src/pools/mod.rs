//! `rowhouse pools`: the connections of a data-plane process, as its admin port shows them.

mod table;
mod top;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::Deserialize;

/// The connections of a data-plane process.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Address of the process's admin port.
    #[arg(long, env = "ROWHOUSE_ADMIN_URL", default_value = "http://127.0.0.1:7501", global = true)]
    url: String,
    /// Tenants to name for each cluster, the busiest first.
    #[arg(long, default_value_t = 10, global = true)]
    busiest: usize,
    /// Print JSON: once for `show`, a line for each look for `top`.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Show how they stand now.
    Show,
    /// Watch them until `q` or Ctrl-C; plain text, one look after the other, where there is no terminal.
    Top {
        /// Seconds between two looks.
        #[arg(long, default_value_t = 1.0)]
        interval: f64,
        /// Stop after so many looks.
        #[arg(long)]
        count: Option<usize>,
    },
}

/// What the admin port answers.
#[derive(Deserialize)]
struct Pools {
    pools: usize,
    connections: usize,
    clusters: Vec<Cluster>,
}

/// One cluster of it.
#[derive(Deserialize)]
struct Cluster {
    cluster: String,
    budget: usize,
    in_use: usize,
    idle: usize,
    opening: usize,
    closing: usize,
    waiting: usize,
    tenants_waiting: usize,
    evicted: u64,
    is_refusing: bool,
    busiest: Vec<Tenant>,
}

/// One of its busiest tenants.
#[derive(Deserialize)]
struct Tenant {
    tenant: String,
    in_use: usize,
    waiting: usize,
}

/// Runs `rowhouse pools …`.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let source = Source::new(&arguments);
    match arguments.command {
        Command::Show if arguments.json => println!("{}", source.text().await?),
        Command::Show => println!("{}", table::draw(&source.pools().await?, None)),
        Command::Top { interval, count } => {
            if !(0.1..=3600.0).contains(&interval) {
                bail!("--interval must be between 0.1 and 3600 seconds");
            }
            let pause = Duration::from_secs_f64(interval);
            top::watch(&source, pause, count.unwrap_or(usize::MAX), arguments.json).await?;
        }
    }
    Ok(())
}

/// Where to ask.
struct Source {
    client: reqwest::Client,
    url: String,
}

impl Source {
    fn new(arguments: &Arguments) -> Self {
        let url = format!("{}/v1/pools?busiest={}", arguments.url.trim_end_matches('/'), arguments.busiest);
        Self { client: reqwest::Client::new(), url }
    }

    async fn text(&self) -> Result<String> {
        let answer = self.client.get(&self.url).timeout(Duration::from_secs(5)).send().await;
        let answer = answer.with_context(|| {
            format!("no answer from {}: is the data plane running, and is this its admin port?", self.url)
        })?;
        if !answer.status().is_success() {
            bail!("{} answered {}: is this a data plane's admin port?", self.url, answer.status());
        }
        Ok(answer.text().await?)
    }

    async fn pools(&self) -> Result<Pools> {
        serde_json::from_str(&self.text().await?).context("the answer is not that of a data plane's admin port")
    }
}
