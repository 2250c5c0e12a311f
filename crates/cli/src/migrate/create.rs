//! `rowhouse migrate create tenant add_labels`.

use std::path::PathBuf;

use anyhow::Result;
use rowhouse_migration_files::create;

use super::{Root, SetName, from_diff};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Which set it is for.
    set: SetName,
    /// What it is called: lower-case words with underscores.
    name: String,
    /// Draft its statements, and those that take them back, from this database on the platform's server, whose schema somebody
    /// has changed: compared with what the files make. What can't be drafted is a comment
    #[arg(long, value_name = "DATABASE")]
    from_diff: Option<String>,
    /// The changed schema, where it is not the database's own
    #[arg(long, default_value = "public", requires = "from_diff")]
    schema: String,
    /// The control plane's settings, a TOML file; `ROWHOUSE__SECTION__KEY` in the environment wins over it
    #[arg(long, value_name = "FILE", requires = "from_diff")]
    settings: Option<PathBuf>,
    #[command(flatten)]
    root: Root,
}

pub(super) async fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { set, name, from_diff, schema, settings, root: Root { root } } = arguments;
    let (forward, back) = match from_diff {
        None => (String::new(), String::new()),
        Some(database) => from_diff::drafted(root, settings.as_deref(), (*set).into(), [database, schema]).await?,
    };
    let created = create(root, (*set).into(), name, (&forward, &back))?;
    println!("{}\n{}", created.forward.display(), created.undo.display());
    let left = forward.matches(rowhouse_migration_files::NOT_DRAFTED).count();
    if left > 0 {
        eprintln!("{left} differences could not be drafted: the file names them");
    }
    Ok(())
}
