//! The command `rowhouse`.
//!
//! `org`, `tenant`, `key` and `cluster` talk to a control plane, `pools` to a data plane's admin port; `migrate` does both that and
//! works on files of migrations; `dev` and `demo` run the product on this machine; `cluster bootstrap` prepares a PostgreSQL cluster.
//! Exit codes: 0 done, 1 failed, 2 wrong usage; `migrate run` has some of its own.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its user")]

mod ask;
mod cluster;
mod demo;
mod dev;
mod exit;
mod migrate;
mod pools;
mod remote;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Rowhouse: a database for every tenant, one control plane for all of them.
#[derive(Parser)]
#[command(name = "rowhouse", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run both services on a private PostgreSQL cluster of their own.
    Dev(dev::Arguments),
    /// Provision two tenants, upload documents, search them, and show that neither sees the other.
    Demo(demo::Arguments),
    /// Organizations: make, list, show, delete.
    Org(remote::Remote<remote::OrganizationCommand>),
    /// Tenants: make, list, show, suspend, resume, delete, restore.
    Tenant(remote::Remote<remote::TenantCommand>),
    /// Compare what is recorded with what each cluster has, and repair what is safe.
    Doctor(remote::Doctor),
    /// API keys: make, list, revoke.
    Key(remote::Remote<remote::KeyCommand>),
    /// PostgreSQL clusters: prepare, register, list, show, drain, change, remove.
    Cluster(remote::Remote<remote::ClusterCommand>),
    /// Migrations: write and check their files, and bring all tenants to where they say.
    Migrate(migrate::Arguments),
    /// The connections of a data-plane process: show them, or watch them.
    Pools(pools::Arguments),
}

/// Reads the command line; one that makes no sense ends the program.
fn arguments() -> Arguments {
    let mut program = Arguments::command();
    let matches = program.get_matches_mut();
    migrate::refuse_foreign_options(&program, &matches);
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut program).exit())
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match arguments().command {
        Command::Dev(arguments) => dev::run(arguments).await,
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Org(remote) => remote::organizations(remote).await,
        Command::Tenant(remote) => remote::tenants(remote).await,
        Command::Doctor(arguments) => remote::doctor(arguments).await,
        Command::Key(remote) => remote::keys(remote).await,
        Command::Cluster(remote) => remote::clusters(remote).await,
        Command::Migrate(arguments) => migrate::run(arguments).await,
        Command::Pools(arguments) => pools::run(arguments).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            error.downcast_ref::<exit::Exit>().map_or(ExitCode::FAILURE, |exit| ExitCode::from(exit.code))
        }
    }
}
