//! `rowhouse demo`: the main job on real input, asserted step by step.
//!
//! It talks to the services over HTTP with nothing but their addresses and keys, as a customer would.

mod api;
mod documents;
mod isolation;
mod search;
mod setting;
mod upload;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

use crate::dev::{House, Place, interrupted};
use setting::Setting;

/// Arguments of `rowhouse demo`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Upload the documents of this folder instead of this repository's own.
    #[arg(long, value_name = "DIR")]
    input: Option<PathBuf>,
    /// Stop by itself instead of leaving the services up until Ctrl-C.
    #[arg(long)]
    once: bool,
}

/// Runs the demo. An error names the claim that did not hold.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let house = House::start(&arguments.place).await?;
    let outcome = tokio::select! {
        outcome = show(&house, arguments.input) => outcome,
        () = interrupted() => Err(anyhow::anyhow!("interrupted")),
    };
    if outcome.is_ok() && !arguments.once {
        eprintln!(
            "\nThe services stay up: {}/docs and {}/docs. Ctrl-C stops them.",
            house.control_plane, house.data_plane
        );
        interrupted().await;
    }
    house.stop().await?;
    outcome
}

async fn show(house: &House, input: Option<PathBuf>) -> Result<()> {
    let begun = Instant::now();
    let (first, second) = documents::choose(input)?;
    let setting = Setting::make(house).await?;
    let first = upload::documents(&setting.first, first).await?;
    let second = upload::documents(&setting.second, second).await?;
    upload::wait_until_indexed(&setting.first, first.len()).await?;
    upload::wait_until_indexed(&setting.second, second.len()).await?;
    search::show(&setting.first, &first).await?;
    search::show(&setting.second, &second).await?;
    isolation::show(&setting.first, &setting.second).await?;
    say(&format!("everything held, in {:.1} s", begun.elapsed().as_secs_f64()));
    Ok(())
}

/// A step that is done.
fn say(text: &str) {
    println!("✓ {text}");
}
