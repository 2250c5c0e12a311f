//! `rowhouse migrate create tenant add_labels`.

use anyhow::Result;
use rowhouse_migration_files::create;

use super::{Root, SetName};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Which set it is for.
    set: SetName,
    /// What it is called: lower-case words with underscores.
    name: String,
    #[command(flatten)]
    root: Root,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let created = create(&arguments.root.root, arguments.set.into(), &arguments.name, ("", ""))?;
    println!("{}\n{}", created.forward.display(), created.undo.display());
    Ok(())
}
