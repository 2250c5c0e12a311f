//! `GET /v1/files/{id}` against a bare handler that runs the same query: the highest rate, the latency at the same rate, the
//! latency against load, and a cold tenant's first request.

mod cold;
mod cross_check;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::floor::{Floor, Kind};
use crate::house::House;
use crate::load::{Outcome, Plan, Target, address, percentile_of_rounds};
use crate::plot::{Curve, Plot, Scale};
use crate::report::Report;
use crate::tenants::{Tenant, logins};
use crate::{median, report};

/// Connections that a tenant may have by default, and so the floor.
const POOL: usize = 8;
/// Of the slower one's highest rate, for latencies at the same rate.
const SHARE: f64 = 0.6;

/// How long, how often.
#[derive(Args, Clone)]
pub(crate) struct Arguments {
    /// One or some of the experiments; all unless given.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Rounds; each measures both, one after the other.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that each measurement takes.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Tenants that are asked for the first time, and as many for the floor.
    #[arg(long, default_value_t = 32)]
    cold: usize,
}

/// An experiment.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The highest rate, by the generator of our own and by `wrk`.
    Rate,
    /// Latencies at one rate and against load; it needs the highest rate first.
    Latency,
    /// A tenant's first request.
    Cold,
}

pub(crate) async fn measure(arguments: Arguments, output: &Path) -> Result<Report> {
    let house = House::start().await?;
    let outcome = run(&house, &arguments, output).await;
    house.stop().await?;
    outcome
}

async fn run(house: &House, arguments: &Arguments, output: &Path) -> Result<Report> {
    let mut report = report();
    let organization = house.organization().await?;
    let is_wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    if is_wanted(Part::Rate) || is_wanted(Part::Latency) {
        warm(house, &organization, arguments, is_wanted(Part::Latency), output, &mut report).await?;
    }
    if is_wanted(Part::Cold) {
        cold::measure(house, &organization, arguments.cold, &mut report).await?;
    }
    Ok(report)
}

async fn warm(
    house: &House,
    organization: &str,
    arguments: &Arguments,
    with_latency: bool,
    output: &Path,
    report: &mut Report,
) -> Result<()> {
    let tenant = Tenant::with_file(house, organization, "bench", "dedicated").await?;
    let login = logins(house).await?.remove(&tenant.id).context("the tenant has a login")?;
    let floor = Floor::start(&Kind::Shared { login, size: POOL }).await?;
    let pair = Pair::new(house, &floor, &tenant, arguments)?;
    pair.compare_answers(&tenant, house).await?;

    let (ours, bare) = pair.highest_rates().await?;
    report.rate("requests a second, closed loop", ours, "1/s", Some(bare), Some(0.75));
    cross_check::with_wrk(&pair, &tenant, report).await?;
    if with_latency {
        pair.latencies(SHARE * ours.min(bare), report).await?;
        pair.against_load(ours, bare).await?.write(&output.join("requests.svg"))?;
    }
    Ok(())
}

/// Rowhouse and its floor, each with the same request.
struct Pair {
    ours: SocketAddr,
    bare: SocketAddr,
    targets: Arc<[Target]>,
    rounds: usize,
    duration: Duration,
}

impl Pair {
    fn new(house: &House, floor: &Floor, tenant: &Tenant, arguments: &Arguments) -> Result<Self> {
        Ok(Self {
            ours: address(&house.ready.data_plane)?,
            bare: address(&floor.url)?,
            targets: vec![tenant.target()?].into(),
            rounds: arguments.rounds,
            duration: Duration::from_secs(arguments.seconds),
        })
    }

    /// Both must say the same, else the floor is none. The file may be indexed between the two, so once more then.
    async fn compare_answers(&self, tenant: &Tenant, house: &House) -> Result<()> {
        let mut answers = self.answers(tenant, house).await?;
        if answers[0] != answers[1] {
            answers = self.answers(tenant, house).await?;
        }
        ensure!(answers[0] == answers[1], "the floor says {} where Rowhouse says {}", answers[1], answers[0]);
        Ok(())
    }

    async fn answers(&self, tenant: &Tenant, house: &House) -> Result<[String; 2]> {
        let file = tenant.file.as_deref().context("the tenant has a file")?;
        let mut answers = [const { String::new() }; 2];
        for (answer, address) in answers.iter_mut().zip([self.ours, self.bare]) {
            let request = house.http.get(format!("http://{address}/v1/files/{file}")).bearer_auth(&tenant.key);
            *answer = request.send().await?.error_for_status()?.text().await?;
        }
        Ok(answers)
    }

    fn plan(&self, address: SocketAddr) -> Plan {
        Plan::new(address, Arc::clone(&self.targets), self.duration)
    }

    /// In turn, so that a slow moment of the machine hits both.
    async fn highest_rates(&self) -> Result<(f64, f64)> {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            ours.push(self.tried("rowhouse, closed loop", self.plan(self.ours)).await?.rate());
            bare.push(self.tried("floor, closed loop", self.plan(self.bare)).await?.rate());
        }
        Ok((median(ours), median(bare)))
    }

    async fn latencies(&self, rate: f64, report: &mut Report) -> Result<()> {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            ours.push(self.tried("rowhouse, open loop", self.plan(self.ours).at(rate)).await?);
            bare.push(self.tried("floor, open loop", self.plan(self.bare).at(rate)).await?);
        }
        for (share, target) in [(50.0, None), (99.0, Some(1.5)), (99.9, None)] {
            let middle = |outcomes| percentile_of_rounds(outcomes, share);
            report.cost(
                &format!("p{share} at {rate:.0}/s, open loop"),
                middle(&ours),
                "ms",
                Some(middle(&bare)),
                target,
            );
        }
        Ok(())
    }

    /// Latency against load, each up to near its own highest rate.
    async fn against_load(&self, ours: f64, bare: f64) -> Result<Plot> {
        let mut curves = Vec::new();
        for (name, address, highest, is_floor) in
            [("rowhouse", self.ours, ours, false), ("floor", self.bare, bare, true)]
        {
            let (mut p50, mut p99) = (Vec::new(), Vec::new());
            for share in [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] {
                let plan = Plan { duration: self.duration.min(Duration::from_secs(3)), ..self.plan(address) };
                let outcome = self.tried(name, plan.at(share * highest)).await?;
                p50.push((outcome.rate(), outcome.percentile(50.0)));
                p99.push((outcome.rate(), outcome.percentile(99.0)));
            }
            curves.push(Curve { name: format!("{name}, p50"), points: p50, is_floor });
            curves.push(Curve { name: format!("{name}, p99"), points: p99, is_floor });
        }
        Ok(Plot {
            title: "GET /v1/files/{id}: latency against load (open loop)".to_owned(),
            across: ("requests a second", Scale::Linear),
            up: ("milliseconds", Scale::Logarithmic),
            curves,
        })
    }

    /// A run without errors: figures of refusals would be no figures.
    async fn tried(&self, name: &str, plan: Plan) -> Result<Outcome> {
        let outcome = plan.run().await?;
        println!("  {name}: {outcome}");
        ensure!(outcome.errors() == 0, "{name}: there were errors");
        Ok(outcome)
    }
}
