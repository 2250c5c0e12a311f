//! The command line: serve, check, or issue a platform key.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rowhouse_problem::{Error, Result};
use rowhouse_settings::Settings;

use crate::preparation::{check, issue_admin_key};
use crate::startup::{Application, Signals};

/// The control plane of Rowhouse.
#[derive(Debug, Parser)]
#[command(name = "control-plane", version)]
pub struct Command {
    /// A TOML file laid over the defaults; `ROWHOUSE__SECTION__KEY` in the environment wins over both.
    #[arg(long, value_name = "FILE", global = true)]
    settings: Option<PathBuf>,
    /// Check settings, connection and schema version, then exit with 0 or 1.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Issue a platform-admin key and print it, and nothing else, on standard output. It is shown this once.
    AdminKey {
        /// What the key is called in lists.
        #[arg(long, default_value = "admin")]
        name: String,
    },
}

impl Command {
    /// Does what was asked for; the reason of a failure goes to standard error.
    pub async fn run(self) -> ExitCode {
        match self.act().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                // Nothing is left to do where standard error is closed too.
                let _ = writeln!(std::io::stderr(), "control-plane: {reason}");
                ExitCode::FAILURE
            }
        }
    }

    async fn act(self) -> std::result::Result<(), String> {
        let settings = rowhouse_settings::load(self.settings.as_deref()).map_err(|error| error.to_string())?;
        rowhouse_telemetry::init_logs(&settings.telemetry);
        let outcome = match self.action {
            _ if self.check => check(&settings).await,
            Some(Action::AdminKey { name }) => print_admin_key(&settings, &name).await,
            None => serve(settings).await,
        };
        outcome.map_err(|error| error.chain())
    }
}

async fn print_admin_key(settings: &Settings, name: &str) -> Result<()> {
    let key = issue_admin_key(settings, name).await?;
    writeln!(std::io::stdout(), "{}", key.reveal()).map_err(Error::internal)
}

async fn serve(settings: Settings) -> Result<()> {
    // Reads FAILPOINTS, in builds that have any.
    #[cfg(all(feature = "failpoints", debug_assertions))]
    let _scenario = fail::FailScenario::setup();
    let application = Application::build(settings, Signals::Obeyed).await?;
    application.run_until_stopped().await.map_err(Error::internal)
}
