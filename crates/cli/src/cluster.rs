//! `rowhouse cluster`: what a superuser does once for a PostgreSQL cluster.

use anyhow::Result;
use clap::Subcommand;
use rowhouse_database::{BootstrapPasswords, ServerAddress, Tls, bootstrap, bootstrap_sections};
use secrecy::SecretString;

/// Subcommands of `rowhouse cluster`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make the roles, the base database and saas_platform, or print the SQL that does.
    ///
    /// Passwords are read from ROWHOUSE_CONTROL_PASSWORD and ROWHOUSE_DATA_PASSWORD; only their
    /// SCRAM verifiers become part of the SQL.
    Bootstrap(Bootstrap),
}

/// Arguments of `rowhouse cluster bootstrap`.
#[derive(clap::Args)]
pub(crate) struct Bootstrap {
    /// Print the SQL instead of running it: for managed PostgreSQL and for those who want to read it first.
    #[arg(long)]
    print: bool,
    /// The cluster's address.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The cluster's port.
    #[arg(long, default_value_t = 5432)]
    port: u16,
    /// The superuser.
    #[arg(long, default_value = "postgres")]
    user: String,
    /// The superuser's password.
    #[arg(long, env = "PGPASSWORD", hide_env_values = true, default_value = "")]
    password: String,
    /// Password for rowhouse_control.
    #[arg(long, env = "ROWHOUSE_CONTROL_PASSWORD", hide_env_values = true)]
    control_password: String,
    /// Password for rowhouse_data.
    #[arg(long, env = "ROWHOUSE_DATA_PASSWORD", hide_env_values = true)]
    data_password: String,
}

/// Runs `rowhouse cluster …`.
pub(crate) async fn run(Command::Bootstrap(arguments): Command) -> Result<()> {
    let passwords = BootstrapPasswords {
        control: SecretString::from(arguments.control_password),
        data: SecretString::from(arguments.data_password),
    };
    if arguments.print {
        for section in bootstrap_sections(&passwords) {
            println!("\\connect {}\n{}\n", section.database, section.sql);
        }
        return Ok(());
    }
    let address = ServerAddress {
        host: arguments.host,
        port: arguments.port,
        user: arguments.user,
        password: SecretString::from(arguments.password),
    };
    bootstrap(&address, &Tls::Disabled, &passwords).await.map_err(|error| anyhow::anyhow!(error.chain()))?;
    println!("The cluster at {}:{} is ready for Rowhouse.", address.host, address.port);
    Ok(())
}
