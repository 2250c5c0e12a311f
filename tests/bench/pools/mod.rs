//! Thousands of tenants on a hundred connections: four experiments on one population.

mod many;
mod noisy;
mod sampler;
mod storm;
mod touched;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::house::{Ground, House, Wanted};
use crate::population::Population;
use crate::report;
use crate::report::Report;
use crate::tenants::Tenant;

/// What to do, how large, how long.
#[derive(Args, Clone)]
pub(crate) struct Arguments {
    /// One or some of the experiments; all unless given.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// A folder whose tenants are kept and used again; one that is deleted afterwards unless given.
    #[arg(long)]
    house: Option<PathBuf>,
    /// Tenants, of all kinds.
    #[arg(long, default_value_t = 10_000)]
    tenants: usize,
    /// Of them, those with a database of their own.
    #[arg(long, default_value_t = 1_000)]
    dedicated: usize,
    /// Of them, those with a schema of their own.
    #[arg(long, default_value_t = 300)]
    schema: usize,
    /// Connections of the data planes to tenants' databases, where 10,000 tenants share them.
    #[arg(long, default_value_t = 100)]
    budget: usize,
    /// Requests a second, where many tenants are asked.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// Seconds that each measurement takes.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How often each is repeated.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// An experiment.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Zipf traffic over all tenants, against the same rate for one.
    Many,
    /// One tenant floods two replicas, against naive pools.
    Storm,
    /// One tenant with slow searches beside quiet ones.
    Noisy,
    /// The cost of a warm tenant's request after ever more tenants were touched.
    Touched,
}

pub(crate) async fn measure(arguments: Arguments, output: &Path) -> Result<Report> {
    ensure!(arguments.dedicated + arguments.schema <= arguments.tenants, "more tenants of some kinds than of all");
    ensure!(arguments.dedicated >= 100, "the experiments need 100 dedicated tenants at least");
    let ground = Ground::of(arguments.house.as_deref())?;
    let outcome = Street { folder: ground.folder.clone(), arguments }.walk(output).await;
    ground.clear().await?;
    outcome
}

/// The folder of the house, which is started anew for each experiment, with settings of its own.
struct Street {
    folder: PathBuf,
    arguments: Arguments,
}

impl Street {
    async fn walk(&self, output: &Path) -> Result<Report> {
        let mut report = report();
        let Arguments { tenants, dedicated, schema, .. } = self.arguments;
        let population = Population { dedicated, schema, shared: tenants - dedicated - schema };
        let tenants = population.settle(&self.folder).await?;
        let parts = if self.arguments.only.is_empty() { Part::value_variants() } else { &self.arguments.only };
        for part in parts {
            match part {
                Part::Many => many::measure(self, &tenants, &mut report).await?,
                Part::Storm => storm::measure(self, &tenants, &mut report).await?,
                Part::Noisy => noisy::measure(self, &tenants, &mut report).await?,
                Part::Touched => touched::measure(self, &tenants, &mut report, output).await?,
            }
        }
        Ok(report)
    }

    /// Starts the house with a budget for all replicas together, on a cluster that lets in so many sessions.
    async fn open(&self, budget: usize, connections: u16) -> Result<House> {
        let settings = vec![
            // One replica may have all of it.
            ("ROWHOUSE__POOLS__CLUSTER_BUDGET", budget.to_string()),
            // No databases are copied while something is measured.
            ("ROWHOUSE__PROVISIONING__STOCK", "0".to_owned()),
            ("ROWHOUSE__TELEMETRY__LOG", "warn".to_owned()),
        ];
        let wanted = Wanted { folder: Some(&self.folder), settings, connections: Some(connections) };
        let house = House::start_as(wanted).await?;
        if let Err(error) = house.set_budget(budget).await {
            house.stop().await?;
            return Err(error);
        }
        Ok(house)
    }
}

/// The dedicated ones among the tenants.
fn dedicated(tenants: &[Tenant]) -> Vec<Tenant> {
    tenants.iter().filter(|tenant| tenant.isolation == "dedicated").cloned().collect()
}
