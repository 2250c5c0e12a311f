//! `rowhouse dev reset`: delete it all, after asking.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::house::demolish;
use crate::ask::confirmed;

/// Arguments of `rowhouse dev reset`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder that `rowhouse dev` was started with.
    #[arg(long, default_value = super::DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Runs `rowhouse dev reset`.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let folder = arguments.data_dir.display();
    if !arguments.yes && !confirmed(&format!("Delete the private cluster in {folder} with every tenant and file?"))? {
        bail!("nothing was deleted");
    }
    if demolish(&arguments.data_dir).await? {
        println!("Deleted what was in {folder}.");
    } else {
        println!("There is no private cluster in {folder}.");
    }
    Ok(())
}
