//! A cluster that is killed and comes back, beside one that goes on: how soon its tenants are refused meanwhile, what the others
//! notice, and how soon it is served again.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use futures::future::try_join_all;
use rowhouse_local_postgres::{Cluster, Installation, Options, Superuser};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::Command;
use tokio_postgres::NoTls;

use crate::house::{House, beside};
use crate::load::{Outcome, Plan, Target, address, percentile_of_rounds};
use crate::report::Report;
use crate::tenants::{Tenant, targets};
use crate::{count, median, report};

/// What the cluster that is killed is called.
const NAME: &str = "mortal";
/// What its logins of Rowhouse's own have for a password; it listens on loopback, and is gone with the bench.
const PASSWORD: &str = "of-a-cluster-that-is-killed";
/// Tenants on each cluster.
const TENANTS: usize = 20;
/// Requests a second on each.
const RATE: f64 = 100.0;
/// How long requests are refused as they fail, until the cluster counts as away.
const NOTICE: Duration = Duration::from_secs(1);
/// Between two questions whether it is back.
const PAUSE: Duration = Duration::from_millis(50);
/// How long that may take at all: a server that recovers beside compilers took more than a minute.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long, how often.
#[derive(Args, Clone, Copy)]
pub(crate) struct Arguments {
    /// How often the cluster is killed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that each measurement takes.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

pub(crate) async fn measure(arguments: Arguments) -> Result<Report> {
    let house = House::start().await?;
    let outcome = async {
        let mut mortal = Mortal::start(&house.folder().join(NAME)).await?;
        let outcome = run(&house, &mut mortal, arguments).await;
        mortal.destroy().await?;
        outcome
    };
    let outcome = outcome.await;
    house.stop().await?;
    outcome
}

async fn run(house: &House, mortal: &mut Mortal, arguments: Arguments) -> Result<Report> {
    mortal.register(house).await?;
    let organization = house.organization().await?;
    let mut tenants = [Vec::new(), Vec::new()];
    for (some, cluster) in tenants.iter_mut().zip(["default", NAME]) {
        for number in 0..TENANTS {
            some.push(Tenant::on_cluster(house, &organization, &format!("{cluster}-{number}"), cluster).await?);
        }
    }
    let [safe, struck] = tenants;
    let street = Street { house, seconds: arguments.seconds, safe: targets(&safe)?, struck: targets(&struck)? };
    let (mut alone, mut beside, mut refused, mut delays) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        let (others, theirs) = street.ask(Duration::from_secs(2)).await?;
        ensure!(theirs.errors() == 0, "the tenants to be struck were not served before: {theirs}");
        alone.push(others);
        mortal.kill().await?;
        let (others, theirs) = street.ask(NOTICE).await?;
        println!("  refused: {theirs}\n  others meanwhile: {others}");
        beside.push(others);
        refused.push(theirs);
        let back = return_of(mortal.superuser.clone());
        let (back, (), served) = tokio::try_join!(back, mortal.restart(), street.served(&struck))?;
        delays.push(served.saturating_duration_since(back).as_secs_f64());
        println!("  served again after {:.3} s", delays[delays.len() - 1]);
    }
    let mut report = report();
    report.cost(
        "p99 of requests for a cluster that is away",
        percentile_of_rounds(&refused, 99.0),
        "ms",
        None,
        Some(50.0),
    );
    report.cost("the slowest of them", percentile_of_rounds(&refused, 100.0), "ms", None, None);
    let other_answers = |outcome: &Outcome| outcome.answers() - outcome.statuses.get(&503).unwrap_or(&0) + outcome.lost;
    report.cost("answers other than 503", count(refused.iter().map(other_answers).sum::<u64>()), "", None, Some(0.0));
    report.cost("from its return until all are served", median(delays), "s", None, Some(2.0));
    let failed: u64 = beside.iter().chain(&alone).map(Outcome::errors).sum();
    report.cost("errors of tenants on the other cluster", count(failed), "", None, Some(0.0));
    report.cost(
        "their p99 meanwhile",
        percentile_of_rounds(&beside, 99.0),
        "ms",
        Some(percentile_of_rounds(&alone, 99.0)),
        None,
    );
    Ok(report)
}

/// Tenants on both clusters.
struct Street<'a> {
    house: &'a House,
    seconds: u64,
    safe: Arc<[Target]>,
    struck: Arc<[Target]>,
}

impl Street<'_> {
    /// Asks for both, not counting what comes first.
    async fn ask(&self, warm_up: Duration) -> Result<(Outcome, Outcome)> {
        let data_plane = address(&self.house.ready.data_plane)?;
        let plan = |targets: &Arc<[Target]>| {
            let plan = Plan::new(data_plane, Arc::clone(targets), Duration::from_secs(self.seconds));
            Plan { warm_up, ..plan.at(RATE) }
        };
        tokio::try_join!(plan(&self.safe).run(), plan(&self.struck).run())
    }

    /// When the last of the tenants had an answer again.
    async fn served(&self, tenants: &[Tenant]) -> Result<Instant> {
        let served = try_join_all(tenants.iter().map(|tenant| self.first_answer(tenant))).await?;
        served.into_iter().max().context("there are tenants")
    }

    async fn first_answer(&self, tenant: &Tenant) -> Result<Instant> {
        let file = tenant.file.as_deref().context("the tenant has a file")?;
        let url = format!("{}/v1/files/{file}", self.house.ready.data_plane);
        let begun = Instant::now();
        loop {
            let answer = self.house.http.get(&url).bearer_auth(&tenant.key).send().await?;
            if answer.status() == 200 {
                return Ok(Instant::now());
            }
            ensure!(begun.elapsed() < PATIENCE, "still {}", answer.status());
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A PostgreSQL of the bench's own, whose commits survive it.
struct Mortal {
    options: Options,
    superuser: Superuser,
    /// None while it is dead.
    cluster: Option<Cluster>,
}

impl Mortal {
    async fn start(folder: &Path) -> Result<Self> {
        let mut options = Options::durable(folder);
        let cluster = Cluster::start(&Installation::find_complete()?, options.clone()).await?;
        // Its tenants' placements name the port.
        options.port = cluster.port();
        Ok(Self { options, superuser: cluster.superuser().clone(), cluster: Some(cluster) })
    }

    /// Has Rowhouse place tenants on it.
    async fn register(&self, house: &House) -> Result<()> {
        let Superuser { host, port, user, password } = &self.superuser;
        let mut bootstrap = Command::new(beside("rowhouse")?);
        bootstrap.args(["cluster", "bootstrap", "--without-platform", "--host", host, "--user", user]);
        bootstrap.args(["--port", &port.to_string()]).env("PGPASSWORD", password).stdout(Stdio::null());
        bootstrap.env("ROWHOUSE_CONTROL_PASSWORD", PASSWORD).env("ROWHOUSE_DATA_PASSWORD", PASSWORD);
        ensure!(bootstrap.status().await?.success(), "the cluster could not be prepared");
        let body = json!({"name": NAME, "host": host, "port": port, "tls": "disable", "password": PASSWORD});
        house.create("/v1/clusters", &body).await.map(drop)
    }

    async fn kill(&mut self) -> Result<()> {
        let cluster = self.cluster.take().context("it lives")?;
        let process = Pid::from_raw(cluster.pid()).context("a process has a number")?;
        kill_process(process, Signal::KILL)?;
        // Waits for it, no more.
        Ok(cluster.stop().await?)
    }

    async fn restart(&mut self) -> Result<()> {
        self.cluster = Some(Cluster::start(&Installation::find_complete()?, self.options.clone()).await?);
        Ok(())
    }

    async fn destroy(mut self) -> Result<()> {
        match self.cluster.take() {
            Some(cluster) => cluster.destroy().await?,
            None => drop(Cluster::delete_at(&self.options.data_dir).await?),
        }
        Ok(())
    }
}

/// When somebody was let in again.
async fn return_of(superuser: Superuser) -> Result<Instant> {
    let begun = Instant::now();
    while superuser.config().connect(NoTls).await.is_err() {
        ensure!(begun.elapsed() < PATIENCE, "the cluster did not come back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(Instant::now())
}
