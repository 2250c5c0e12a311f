//! Commands that talk to the control API: `rowhouse org`, `rowhouse tenant`, `rowhouse key`, `rowhouse cluster`.
//!
//! Tables for people, `--json` for scripts: then standard output holds the API's answer and nothing else.

mod api;
mod clusters;
mod doctor;
mod keys;
mod organizations;
mod output;
mod rate_limit;
mod tenants;

use anyhow::Result;
use clap::Args;

pub(crate) use api::{Api, is_away};
pub(crate) use clusters::Command as ClusterCommand;
pub(crate) use doctor::{Doctor, run as doctor};
pub(crate) use keys::Command as KeyCommand;
pub(crate) use organizations::Command as OrganizationCommand;
pub(crate) use output::{done, print};
pub(crate) use tenants::Command as TenantCommand;

/// Which control plane, as whom, and how to answer.
#[derive(Args)]
pub(crate) struct Connection {
    /// Address of the control plane.
    #[arg(long, env = "ROWHOUSE_URL", default_value = "http://127.0.0.1:7400", global = true)]
    url: String,
    /// A platform or organization key.
    #[arg(long, env = "ROWHOUSE_KEY", hide_env_values = true, default_value = "", global = true)]
    key: String,
    /// Print the API's JSON instead of a table.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// A command with its connection.
#[derive(Args)]
pub(crate) struct Remote<C: clap::Subcommand> {
    #[command(subcommand)]
    command: C,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `rowhouse org …`.
pub(crate) async fn organizations(remote: Remote<OrganizationCommand>) -> Result<()> {
    organizations::run(remote.command, &remote.connection).await
}

/// Runs `rowhouse tenant …`.
pub(crate) async fn tenants(remote: Remote<TenantCommand>) -> Result<()> {
    tenants::run(remote.command, &remote.connection).await
}

/// Runs `rowhouse cluster …`.
pub(crate) async fn clusters(remote: Remote<ClusterCommand>) -> Result<()> {
    clusters::run(remote.command, &remote.connection).await
}

/// Runs `rowhouse key …`.
pub(crate) async fn keys(remote: Remote<KeyCommand>) -> Result<()> {
    keys::run(remote.command, &remote.connection).await
}
