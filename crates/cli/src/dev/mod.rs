//! `rowhouse dev`: both services on a private cluster, in one terminal.

mod environment;
mod house;
mod port;
mod reset;
mod secrets;
mod service;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;

pub(crate) use environment::interrupted;
pub(crate) use house::House;
pub(crate) use service::program;

/// Where everything that `dev` makes is kept, unless told otherwise.
pub(crate) const DEFAULT_DATA_DIR: &str = ".rowhouse";

/// Arguments of `rowhouse dev`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    place: Place,
    /// Print one line of JSON when everything is ready; logs go to standard error.
    #[arg(long)]
    json: bool,
}

/// Where the house stands.
#[derive(clap::Args, Clone)]
pub(crate) struct Place {
    /// The folder for the cluster, the contents and the secrets.
    #[arg(long, default_value = DEFAULT_DATA_DIR)]
    pub(crate) data_dir: PathBuf,
    /// Port of the control plane; 0 picks a free one.
    #[arg(long, default_value_t = 7400)]
    pub(crate) control_port: u16,
    /// Port of the data plane; 0 picks a free one.
    #[arg(long, default_value_t = 7500)]
    pub(crate) data_port: u16,
    /// Port on which the data plane shows its pools; 0 picks a free one, as is done without it where --data-port is 0.
    #[arg(long, value_name = "ADMIN_PORT")]
    pub(crate) admin_port: Option<u16>,
    /// Port of the S3-compatible door; 0 picks a free one, as is done without it where --data-port is 0.
    #[arg(long, value_name = "S3_PORT")]
    pub(crate) s3_port: Option<u16>,
    /// Port of PostgreSQL; 0 picks a free one.
    #[arg(long, default_value_t = 54329)]
    pub(crate) pg_port: u16,
    /// Sessions that PostgreSQL lets in (`max_connections`).
    #[arg(long, default_value_t = 100)]
    pub(crate) pg_connections: u16,
}

impl Place {
    fn admin_port(&self) -> u16 {
        self.admin_port.unwrap_or(if self.data_port == 0 { 0 } else { 7501 })
    }

    fn s3_port(&self) -> u16 {
        self.s3_port.unwrap_or(if self.data_port == 0 { 0 } else { 7600 })
    }
}

#[derive(Subcommand)]
enum Command {
    /// Delete the private cluster, all its tenants and their files.
    Reset(reset::Arguments),
}

/// What scripts need to know of a running house.
#[derive(Serialize)]
struct Ready<'a> {
    control_plane: &'a str,
    data_plane: &'a str,
    admin: &'a str,
    s3: &'a str,
    admin_key: &'a str,
    postgres: &'a str,
}

/// Runs `rowhouse dev`.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    if let Some(Command::Reset(reset)) = arguments.command {
        return reset::run(reset).await;
    }
    let mut house = House::start(&arguments.place).await?;
    if arguments.json {
        let ready = Ready {
            control_plane: &house.control_plane,
            data_plane: &house.data_plane,
            admin: &house.admin,
            s3: &house.s3,
            admin_key: &house.admin_key,
            postgres: &house.postgres,
        };
        println!("{}", serde_json::to_string(&ready)?);
    } else {
        welcome(&house);
    }
    let ended = tokio::select! {
        () = interrupted() => Ok(()),
        ended = house.service_ended() => Err(ended),
    };
    house.stop().await?;
    ended
}

fn welcome(house: &House) {
    let House { control_plane, data_plane, admin_key, .. } = house;
    eprintln!("\n  control plane   {control_plane}   (API pages: {control_plane}/docs)");
    eprintln!("  data plane      {data_plane}   (API pages: {data_plane}/docs)");
    eprintln!("  S3              {}   (a tenant key's prefix and s3_secret; workspaces are buckets)", house.s3);
    eprintln!("  PostgreSQL      {}", house.postgres);
    if house.is_new {
        eprintln!("  admin key       {admin_key}");
    } else {
        eprintln!("  admin key       in {}", house.secrets_file.display());
    }
    let shown = if house.is_new { admin_key.as_str() } else { "$ROWHOUSE_KEY" };
    eprintln!("\nTry it:\n");
    eprintln!("  curl -s {control_plane}/v1/organizations -H 'Authorization: Bearer {shown}' \\");
    eprintln!("    -H 'Content-Type: application/json' -d '{{\"name\": \"Acme\", \"email\": \"ops@acme.example\"}}'\n");
    eprintln!(
        "Ctrl-C stops everything; `rowhouse dev` starts it again with all data; `rowhouse dev reset` deletes it.\n"
    );
}
