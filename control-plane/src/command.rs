//! The command line: serve, check, issue a platform key, or take part in runs of migrations.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use rowhouse_problem::{Error, Result};
use rowhouse_settings::Settings;
use tokio::signal::unix::{SignalKind, signal};

use crate::context::Context;
use crate::fleet;
use crate::preparation::{check, issue_admin_key, require_schema};
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
    /// Take part in runs of migrations, beside the control planes and any number of others, until SIGTERM or SIGINT. What was
    /// begun is finished. Listens on no port.
    MigrationWorker {
        /// Schemas at once; `migrations.parallel` of the settings, unless given.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        parallel: Option<u16>,
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
            Some(Action::MigrationWorker { parallel }) => {
                work_on_migrations(settings, parallel.map_or(0, usize::from)).await
            }
            None => serve(settings).await,
        };
        outcome.map_err(|error| error.chain())
    }
}

async fn print_admin_key(settings: &Settings, name: &str) -> Result<()> {
    let key = issue_admin_key(settings, name).await?;
    writeln!(std::io::stdout(), "{}", key.reveal()).map_err(Error::internal)
}

/// Takes part in runs; 0 is as many schemas at once as the settings say.
async fn work_on_migrations(mut settings: Settings, parallel: usize) -> Result<()> {
    if parallel > 0 {
        settings.migrations.parallel = parallel;
    }
    if settings.migrations.parallel == 0 {
        return Err(Error::internal(
            "migrations.parallel is 0: say with --parallel how many schemas this worker takes at once",
        ));
    }
    let context = Arc::new(Context::new(settings)?);
    require_schema(&context).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::internal)?;
    let at_once = context.settings.migrations.parallel;
    tracing::info!(parallel = at_once, "taking part in runs of migrations");
    let mut worker = tokio::spawn(fleet::work(Arc::clone(&context), context.stop.clone()));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut worker => return ended.map_err(Error::internal),
    }
    tracing::info!("told to stop: what was begun is finished");
    context.stop.cancel();
    worker.await.map_err(Error::internal)?;
    context.progress.close();
    context.platform.close();
    Ok(())
}

async fn serve(settings: Settings) -> Result<()> {
    // Reads FAILPOINTS, in builds that have any.
    #[cfg(all(feature = "failpoints", debug_assertions))]
    let _scenario = fail::FailScenario::setup();
    let application = Application::build(settings, Signals::Obeyed).await?;
    application.run_until_stopped().await.map_err(Error::internal)
}
