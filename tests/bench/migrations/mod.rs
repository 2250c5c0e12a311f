//! Migrating every tenant of a house, forward and back, by Rowhouse and by what one would write instead.

mod bare;
mod fleet;
mod others;
mod served;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::house::{Ground, House, Wanted};
use crate::population::Population;
use crate::process::peak_memory_mib;
use crate::report::Report;
use crate::{median, report};
use bare::Bare;
use fleet::Fleet;

/// What `psql` and refinery, one database at a time, are measured on.
const SAMPLE: usize = 60;
/// Sessions besides those that migrate.
const CONNECTIONS: u16 = 150;

/// What to do, how large.
#[derive(Args, Clone)]
pub(crate) struct Arguments {
    /// One or some of the parts; all unless given.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// A folder whose tenants are kept and used again; one that is deleted afterwards unless given.
    #[arg(long)]
    house: Option<PathBuf>,
    /// Tenants with a database of their own.
    #[arg(long, default_value_t = 500)]
    tenants: usize,
    /// Tenants in all, where the memory of the runner is measured; the others have a schema each, which a run comes to as well.
    #[arg(long, default_value_t = 5_000)]
    rows: usize,
    /// Databases that are migrated at once.
    #[arg(long, default_value_t = 8)]
    parallel: usize,
    /// How often each is repeated.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// A part of the bench.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Tenants a second.
    Speed,
    /// Latency of the data plane meanwhile.
    Served,
    /// Memory of the runner with ten times the tenants.
    Memory,
}

pub(crate) async fn measure(arguments: Arguments) -> Result<Report> {
    ensure!(arguments.tenants >= SAMPLE, "the bench needs {SAMPLE} tenants at least");
    let ground = Ground::of(arguments.house.as_deref())?;
    let outcome = walk(&arguments, &ground.folder).await;
    ground.clear().await?;
    outcome
}

async fn walk(arguments: &Arguments, folder: &Path) -> Result<Report> {
    let mut report = report();
    let migrations = fleet::lay_out(folder)?;
    let population = Population { dedicated: arguments.tenants, schema: 0, shared: 0 };
    let tenants = population.settle(folder).await?;
    let parts = if arguments.only.is_empty() { Part::value_variants() } else { &arguments.only };
    for part in parts {
        if *part == Part::Memory {
            let few = open(folder, &migrations, arguments.parallel).await?;
            let outcome = memory(&few, arguments, &mut report).await;
            few.stop().await?;
            outcome?;
            let schema = arguments.rows.saturating_sub(arguments.tenants);
            Population { dedicated: arguments.tenants, schema, shared: 0 }.settle(folder).await?;
        }
        let house = open(folder, &migrations, arguments.parallel).await?;
        let outcome = match part {
            Part::Speed => speed(&house, &migrations, arguments, &mut report).await,
            Part::Served => served::measure(&house, &tenants, arguments.rounds, &mut report).await,
            Part::Memory => memory(&house, arguments, &mut report).await,
        };
        house.stop().await?;
        outcome?;
    }
    Ok(report)
}

async fn open(folder: &Path, migrations: &Path, parallel: usize) -> Result<House> {
    let settings = vec![
        ("ROWHOUSE__MIGRATIONS__TENANT_FOLDER", migrations.display().to_string()),
        ("ROWHOUSE__MIGRATIONS__PARALLEL", parallel.to_string()),
        // Nothing else makes databases, or looks into them, meanwhile.
        ("ROWHOUSE__PROVISIONING__STOCK", "0".to_owned()),
        ("ROWHOUSE__TELEMETRY__LOG", "warn".to_owned()),
    ];
    House::start_as(Wanted { folder: Some(folder), settings, connections: Some(CONNECTIONS) }).await
}

async fn speed(house: &House, migrations: &Path, arguments: &Arguments, report: &mut Report) -> Result<()> {
    let fleet = Fleet::of(house, arguments.parallel).await?;
    let bare = Bare::of(house, arguments.parallel).await?;
    // Whatever was left by an interrupted run.
    fleet.go("down").await?;
    fleet.checkpoint().await?;
    let cold = fleet.go("up").await?;
    fleet.go("down").await?;
    let (mut ours, mut unverified) = (Vec::new(), Vec::new());
    let (mut floor, mut comparing, mut loops, mut refinery) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // In turn, so that a slow moment of the machine hits all.
    for _ in 0..arguments.rounds {
        ours.push(fleet.go("up").await?.rate());
        fleet.go("down").await?;
        unverified.push(fleet.go_unverified().await?.rate());
        fleet.go("down").await?;
        floor.push(bare.migrate(false).await?);
        bare.undo(usize::MAX).await?;
        comparing.push(bare.migrate(true).await?);
        bare.undo(usize::MAX).await?;
        loops.push(others::psql(house, bare.databases(SAMPLE)).await?);
        bare.undo(SAMPLE).await?;
        refinery.push(others::refinery(&bare, migrations, SAMPLE).await?);
        bare.undo(SAMPLE).await?;
    }
    for (name, rates) in [
        ("rowhouse", &ours),
        ("rowhouse, none compared with its template", &unverified),
        ("bare", &floor),
        ("bare that compares", &comparing),
        ("psql", &loops),
        ("refinery", &refinery),
    ] {
        println!("  {name}: {rates:.1?} a second");
    }
    let (tenants, parallel, rate) = (bare.databases(usize::MAX).len(), arguments.parallel, median(ours));
    let name = |floor: &str| format!("{tenants} tenants, {parallel} at once, against {floor}");
    let floor = median(floor);
    report.rate(&name("a bare program"), rate, "1/s", Some(floor), Some(0.85));
    report.rate(&name("a bare program that compares"), rate, "1/s", Some(median(comparing)), Some(0.85));
    report.rate(
        "none compared with its template, against a bare program",
        median(unverified),
        "1/s",
        Some(floor),
        None,
    );
    report.rate(&name("psql in a loop"), rate, "1/s", Some(median(loops)), Some(8.0));
    report.rate(&name("refinery, one at a time"), rate, "1/s", Some(median(refinery)), Some(1.6));
    report.rate("the same at the first touch after a restart of PostgreSQL", cold.rate(), "1/s", None, None);
    Ok(())
}

/// The highest so far of the process that has just migrated all of them.
async fn memory(house: &House, arguments: &Arguments, report: &mut Report) -> Result<()> {
    let fleet = Fleet::of(house, arguments.parallel).await?;
    fleet.go("down").await?;
    let schemas = fleet.go("up").await?.schemas();
    let name = format!("the runner's memory, a run over {schemas} schemas");
    report.cost(&name, peak_memory_mib(house.pid("control-plane")?)?, "MiB", None, Some(64.0));
    fleet.go("down").await.map(drop)
}
