//! `rowhouse cluster bootstrap`: what a superuser does once for a PostgreSQL cluster.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rowhouse_database::{BootstrapPasswords, Purpose, ServerAddress, ServerTls, Tls, bootstrap, bootstrap_sections};
use secrecy::SecretString;

/// Arguments of `rowhouse cluster bootstrap`.
#[derive(clap::Args)]
pub(crate) struct Bootstrap {
    /// Print the SQL instead of running it: for managed PostgreSQL and for those who want to read it first.
    #[arg(long)]
    print: bool,
    /// Leave out saas_platform: for every cluster but the one that holds it.
    #[arg(long)]
    without_platform: bool,
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
    /// File with the certificates (PEM) of the server's authority: connect with TLS, and check certificate and name.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Password for rowhouse_control.
    #[arg(long, env = "ROWHOUSE_CONTROL_PASSWORD", hide_env_values = true)]
    control_password: String,
    /// Password for rowhouse_data.
    #[arg(long, env = "ROWHOUSE_DATA_PASSWORD", hide_env_values = true)]
    data_password: String,
}

/// Runs `rowhouse cluster bootstrap`.
pub(crate) async fn run(arguments: Bootstrap) -> Result<()> {
    let passwords = BootstrapPasswords {
        control: SecretString::from(arguments.control_password),
        data: SecretString::from(arguments.data_password),
    };
    let purpose = if arguments.without_platform { Purpose::Tenants } else { Purpose::PlatformAndTenants };
    if arguments.print {
        for section in bootstrap_sections(&passwords, purpose) {
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
    let tls = match &arguments.tls_ca {
        None => Tls::Disabled,
        Some(file) => {
            let authority = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            Tls::of_server(&ServerTls::VerifyFull { authority: Some(authority) }, &Tls::Disabled)?
        }
    };
    bootstrap(&address, &tls, &passwords, purpose).await.map_err(|error| anyhow::anyhow!(error.chain()))?;
    println!("The cluster at {}:{} is ready for Rowhouse.", address.host, address.port);
    Ok(())
}
