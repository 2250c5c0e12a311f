//! `rowhouse migrate`: the files of migrations, and bringing all tenants' schemas to where they say.

mod accept;
mod create;
mod dry_run;
mod freeze;
mod from_diff;
mod lint;
mod plan;
mod platform;
mod repair_plan;
mod runs;
mod server;
mod sets;
mod start;
mod verify;
mod watch;
mod worker;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use crate::remote::Connection;

pub(crate) use sets::{SetName, refuse_foreign_options};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the next numbered pair of files, a migration and what takes it back.
    Create(create::Arguments),
    /// Name what in the files would hurt those who are being served, and the safe way.
    Lint(lint::Arguments),
    /// Freeze the files of a release: a changed one is refused from then on.
    Freeze(freeze::Arguments),
    /// See how many schemas are at each version, and what runs are under way; of saas_platform, what is applied and what is not
    Status(runs::Status),
    /// See what a run would do: to which schemas, in which order, with which statements, and what the linter says of them
    Plan(plan::Arguments),
    /// Start a run that brings schemas up to a version, and watch it. Exit code 0: all done; 3: halted; 4: some failed, or
    /// would fail; 5: it was paused or cancelled; 7: none failed, and some were passed by since they differ from their template,
    /// or were not tried out. saas_platform is migrated by this program itself, as control planes do when they start
    #[command(alias = "up")]
    Run(start::Up),
    /// Bring the schema of saas_platform to a version, this program's newest unless given: the same as `run platform`
    Platform(start::Platform),
    /// Start a run that takes schemas back to a version, and watch it. Exit codes as of `run`. Services that need what is taken
    /// back of saas_platform refuse to start from then on
    #[command(alias = "down")]
    Undo(start::Down),
    /// List the latest runs.
    Runs(Connection),
    /// See what a run did with each schema.
    Show(runs::OfRun),
    /// Watch a run that is under way. Exit codes as of `run`
    Watch(runs::OfRun),
    /// Let a run begin with no further schema.
    Pause(runs::OfRun),
    /// Let a run go on; where it had halted, what failed is tried again.
    Resume(runs::OfRun),
    /// End a run; nothing is undone.
    Cancel(runs::OfRun),
    /// Try again what failed in a run.
    Retry(runs::OfRun),
    /// Compare every schema with the template of its version, or saas_platform with what its migrations make of a database that
    /// is dropped afterwards, and show in what it differs. Exit code 6: some differ, and it was not accepted
    Verify(verify::Arguments),
    /// Take part in runs until SIGTERM, beside the control planes and any number of other workers, on any machine that reaches the
    /// clusters. What was begun is finished.
    Worker(worker::Arguments),
    /// Keep a tenant's schema out of runs.
    Hold(runs::Hold),
    /// Let a tenant's schema go with the others again.
    Release(runs::Release),
    /// Say that what differs in a tenant's schema is meant, so that runs come to it again; whatever else differs blocks it.
    Accept(accept::Arguments),
    /// Accept nothing of a tenant's schema any more: what differs blocks it again.
    Revoke(accept::Revoke),
}

/// Where the files are.
#[derive(clap::Args)]
struct Root {
    /// The folder with `platform-migrations` and `tenant-migrations`.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    root: PathBuf,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Create(arguments) => create::run(&arguments).await,
        Command::Lint(arguments) => lint::run(&arguments),
        Command::Freeze(arguments) => freeze::run(&arguments),
        Command::Status(arguments) => runs::status(&arguments).await,
        Command::Plan(arguments) => plan::run(&arguments).await,
        Command::Run(arguments) => start::up(arguments).await,
        Command::Platform(arguments) => start::platform(&arguments).await,
        Command::Undo(arguments) => start::down(arguments).await,
        Command::Runs(connection) => runs::list(&connection).await,
        Command::Show(arguments) => runs::show(&arguments).await,
        Command::Watch(arguments) => runs::attach(&arguments).await,
        Command::Pause(arguments) => runs::tell(&arguments, "pause").await,
        Command::Resume(arguments) => runs::tell(&arguments, "resume").await,
        Command::Cancel(arguments) => runs::tell(&arguments, "cancel").await,
        Command::Retry(arguments) => runs::tell(&arguments, "retry").await,
        Command::Worker(arguments) => worker::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments).await,
        Command::Hold(arguments) => runs::hold(&arguments).await,
        Command::Release(arguments) => runs::release(&arguments).await,
        Command::Accept(arguments) => accept::run(&arguments).await,
        Command::Revoke(arguments) => accept::revoke(&arguments).await,
    }
}
