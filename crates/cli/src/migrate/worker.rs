//! `rowhouse migrate worker`: becomes the program that knows how, so that signals and exit code are its own.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::dev::program;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The control plane's settings, a TOML file; `ROWHOUSE__SECTION__KEY` in the environment wins over it
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Schemas at once; `migrations.parallel` of the settings, unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    parallel: Option<u16>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let mut command = Command::new(program("control-plane")?);
    if let Some(settings) = &arguments.settings {
        command.arg("--settings").arg(settings);
    }
    command.arg("migration-worker");
    if let Some(parallel) = arguments.parallel {
        command.args(["--parallel", &parallel.to_string()]);
    }
    // It comes back only where the program could not be started.
    Err(command.exec().into())
}
