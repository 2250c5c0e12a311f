//! The data-plane service.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rowhouse_data_plane::{extract, startup};

/// Serving a request is a few dozen small allocations, some of which end on another thread: the system's own allocator takes
/// twice as long over them, and gives less back after a burst.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves tenants' files and searches.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A TOML file that is laid over the default settings.
    #[arg(long)]
    settings: Option<PathBuf>,
    /// Check the settings and the platform's schema, then exit.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    // Before any thread, log or setting: the helper that reads untrusted files starts with nothing.
    if std::env::args().nth(1).as_deref() == Some(extract::child::SUBCOMMAND) {
        return extract::child::run_child();
    }
    let arguments = Arguments::parse();
    startup::run(arguments.settings.as_deref(), arguments.check)
}
