//! `rowhouse migrate`: the files of migrations. One file a subcommand.

mod create;
mod freeze;
mod lint;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use rowhouse_migrations::Set;

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
}

/// Which of the two sets.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SetName {
    /// Of the main database.
    Platform,
    /// Of every tenant's database or schema.
    Tenant,
}

impl From<SetName> for Set {
    fn from(name: SetName) -> Self {
        match name {
            SetName::Platform => Self::Platform,
            SetName::Tenant => Self::Tenant,
        }
    }
}

/// Where the files are.
#[derive(clap::Args)]
struct Root {
    /// The folder with `platform-migrations` and `tenant-migrations`.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    root: PathBuf,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Create(arguments) => create::run(&arguments),
        Command::Lint(arguments) => lint::run(&arguments),
        Command::Freeze(arguments) => freeze::run(&arguments),
    }
}
