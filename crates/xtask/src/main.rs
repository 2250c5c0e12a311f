//! `cargo xtask`: the commands of this repository, from an empty machine to the demo and the tests.
//!
//! Each command is one module; what they share in printing and running programs is `console`.
#![expect(clippy::print_stderr, reason = "a command-line program talks to its user")]

mod console;
mod races;
mod services;
mod setup;
mod test;
mod workspace;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Sets up, tests and runs Rowhouse")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install PostgreSQL and pgvector
    Setup {
        /// Only report what is there and what is missing
        #[arg(long)]
        check: bool,
        /// PgBouncer as well, which only a suite of tests needs
        #[arg(long)]
        pgbouncer: bool,
    },
    /// Check the format, lint, build and run every test
    Test {
        /// Run the tests that take minutes as well
        #[arg(long)]
        soak: bool,
        /// Give no second try, by itself, to a test that fails among the others
        #[arg(long)]
        strict: bool,
        /// For `cargo test`, after `--`
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Show the main job on real input: two tenants, their documents, their searches
    Demo {
        /// Stop when it is done instead of waiting for Ctrl-C
        #[arg(long)]
        once: bool,
        /// A folder of documents to upload, instead of this repository's own
        #[arg(long, value_name = "DIR")]
        input: Option<PathBuf>,
        /// Build with optimisations
        #[arg(long)]
        release: bool,
    },
    /// Run both services on a private PostgreSQL: `rowhouse dev`
    Dev {
        /// Build with optimisations
        #[arg(long)]
        release: bool,
        /// For `rowhouse dev`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Measure release builds: `files`, `migrations`, `pools`, `provisioning`, `requests`; `--help` after the name for more
    Bench {
        /// Name of the bench and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Task::Setup { check: true, pgbouncer } => setup::check(pgbouncer),
        Task::Setup { check: false, pgbouncer: false } => setup::ensure(),
        Task::Setup { check: false, pgbouncer: true } => setup::ensure_with_pgbouncer(),
        Task::Test { soak, strict, arguments } => test::run(soak, strict, &arguments),
        Task::Demo { once, input, release } => services::demo(once, input, release),
        Task::Dev { release, arguments } => services::dev(release, arguments),
        Task::Bench { arguments } => services::bench(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
