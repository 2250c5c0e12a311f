//! `rowhouse migrate freeze`: what is released does not change any more.

use anyhow::Result;
use rowhouse_migration_files::freeze;

use super::Root;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    root: Root,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let frozen = freeze(&arguments.root.root)?;
    frozen.iter().for_each(|path| println!("{path}"));
    println!("{} files are frozen now that were not before", frozen.len());
    Ok(())
}
