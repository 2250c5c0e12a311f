//! `cargo xtask bench NAME`: measurements on release builds, as ratios to a floor measured in the same run.
//!
//! Everything happens on the loopback address, is bounded in number, and stops what it started.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its user")]

mod files;
mod floor;
mod house;
mod load;
mod machine;
mod migrations;
mod outage;
mod plot;
mod pools;
mod population;
mod process;
mod provisioning;
mod report;
mod requests;
mod tenants;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use report::Report;

/// Measures Rowhouse on this machine.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
    /// Where the report is written.
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
}

#[derive(Clone, Subcommand)]
enum Bench {
    /// How long a tenant takes from the request to ready, against a bare `create database … template`.
    Provisioning {
        /// Tenants to make.
        #[arg(long, default_value_t = 20)]
        count: usize,
    },
    /// Migrating a fleet, against a bare program, `psql` in a loop and refinery; and what its tenants notice.
    Migrations(migrations::Arguments),
    /// A cluster that is killed and comes back, beside one that goes on.
    Outage(outage::Arguments),
    /// Thousands of tenants on a hundred connections.
    Pools(pools::Arguments),
    /// The metadata of a file, again and again, against a bare handler with the same query; and a cold tenant's first time.
    Requests(requests::Arguments),
    /// Files up, down and listed, against a bare handler and nginx; and the memory that large ones take.
    Files(files::Arguments),
    /// What a bench starts for itself: a floor that is described on standard input.
    #[command(name = floor::SUBCOMMAND, hide = true)]
    Floor,
}

/// Everything was measured, and a target was missed.
const MISSED: u8 = 3;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(has_missed) => ExitCode::from(if has_missed { MISSED } else { 0 }),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether a target was missed.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    if !matches!(arguments.bench, Bench::Floor) {
        machine::warn_if_busy();
    }
    let (name, report) = match arguments.bench.clone() {
        Bench::Floor => return floor::serve().await.map(|()| false),
        Bench::Files(how) => ("files", files::measure(how).await?),
        Bench::Migrations(how) => ("migrations", migrations::measure(how).await?),
        Bench::Outage(how) => ("outage", outage::measure(how).await?),
        Bench::Pools(how) => ("pools", pools::measure(how, &arguments.output).await?),
        Bench::Requests(how) => ("requests", requests::measure(how, &arguments.output).await?),
        Bench::Provisioning { count } => ("provisioning", provisioning::measure(count).await?),
    };
    println!("{}", report.table());
    report.write(&arguments.output.join(format!("{name}.json")))?;
    Ok(report.has_missed())
}

/// The middle of the measurements.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A number of things as a figure.
#[expect(clippy::cast_precision_loss, reason = "millions at most")]
fn count(things: impl TryInto<u64>) -> f64 {
    things.try_into().map_or(f64::NAN, |things| things as f64)
}

/// An empty report, for a bench to fill.
fn report() -> Report {
    Report::default()
}
