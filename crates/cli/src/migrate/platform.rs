//! `rowhouse migrate platform`: the schema of `saas_platform` itself, with the settings of a control plane.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use rowhouse_database::AdminConnection;
use rowhouse_migrations::{Event, Migration, Options, Report, Set};
use serde_json::{Value, json};

use super::server::Server;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// See what is applied, and what this program would apply.
    Status(To),
    /// Apply what is missing. Control planes do the same when they start; whoever comes second waits for the first
    #[command(alias = "up")]
    Run {
        /// Stop after this version
        #[arg(long, value_name = "VERSION")]
        to: Option<u32>,
        #[command(flatten)]
        place: To,
    },
    /// Take back what is newer than a version. Services that need it refuse to start from then on
    #[command(alias = "down")]
    Undo {
        /// The version to go back to
        #[arg(long, value_name = "VERSION")]
        to: u32,
        #[command(flatten)]
        place: To,
    },
}

/// Which `saas_platform`, and how to print.
#[derive(clap::Args)]
struct To {
    /// The control plane's settings, a TOML file; `ROWHOUSE__SECTION__KEY` in the environment wins over it
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Status(place) => status(&place).await,
        Command::Run { to, place } => {
            let options = Options { target: to, ..Options::default() };
            let mut admin = connect(&place).await?;
            let report = rowhouse_migrations::run(admin.client(), migrations(), &options, &tell).await?;
            conclude(&place, &report)
        }
        Command::Undo { to, place } => {
            let mut admin = connect(&place).await?;
            let report =
                rowhouse_migrations::undo_to(admin.client(), migrations(), to, &Options::default(), &tell).await?;
            conclude(&place, &report)
        }
    }
}

fn migrations() -> &'static rowhouse_migrations::Migrations {
    Set::Platform.migrations()
}

async fn connect(place: &To) -> Result<AdminConnection> {
    let server = Server::of(place.settings.as_deref())?;
    server.open(&server.platform, &["public"]).await
}

async fn status(place: &To) -> Result<()> {
    let mut admin = connect(place).await?;
    let version = rowhouse_migrations::current_version(admin.client()).await?.unwrap_or_default();
    let pending = migrations().list().iter().filter(|migration| migration.version > version);
    if place.json {
        let shown = |migration: &Migration| json!({"version": migration.version, "name": migration.name});
        let pending: Vec<Value> = pending.map(shown).collect();
        let status = json!({"version": version, "newest_version": migrations().latest(), "pending": pending});
        println!("{}", serde_json::to_string_pretty(&status)?);
        return Ok(());
    }
    println!("saas_platform is at migration {version}; this program's newest is {}", migrations().latest());
    pending.for_each(|migration| println!("pending: {migration}"));
    Ok(())
}

fn tell(event: Event<'_>) {
    match event {
        Event::Waits { migration, pause, sqlstate, .. } => {
            eprintln!("{migration} waits for a lock ({sqlstate}); again in {} ms", pause.as_millis());
        }
        Event::Begins { migration } => eprintln!("{migration} …"),
        Event::Batch { .. } | Event::Ends { .. } => {}
    }
}

fn conclude(place: &To, report: &Report) -> Result<()> {
    let version = report.version.unwrap_or_default();
    if place.json {
        let steps: Vec<Value> = report
            .steps
            .iter()
            .map(|step| json!({"version": step.version, "name": step.name, "milliseconds": step.elapsed.as_millis()}))
            .collect();
        println!("{}", serde_json::to_string_pretty(&json!({"version": version, "steps": steps}))?);
    } else {
        report.steps.iter().for_each(|step| println!("{step}: {} ms", step.elapsed.as_millis()));
        println!("saas_platform is at migration {version}");
    }
    Ok(())
}
