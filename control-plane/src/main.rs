//! The binary `control-plane`.

use std::process::ExitCode;

use clap::Parser;
use rowhouse_control_plane::command::Command;

#[tokio::main]
async fn main() -> ExitCode {
    Command::parse().run().await
}
