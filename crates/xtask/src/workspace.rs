//! Where this repository is, and cargo run in it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

/// How the services are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build.
    Dev,
    /// Quick to run.
    Release,
}

impl Profile {
    /// What `--release` asks for.
    pub(crate) fn of(release: bool) -> Self {
        if release { Self::Release } else { Self::Dev }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
    ours.ancestors().nth(2).expect("this crate lies two folders below the root")
}

/// Cargo, in the root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root()).args(arguments);
    command
}

/// Where cargo puts the programs of a profile.
pub(crate) fn programs(profile: Profile) -> anyhow::Result<PathBuf> {
    Ok(target()?.join(profile.folder()))
}

/// The target folder, wherever it is: above the folder of this program.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot tell where this program is")?;
    let target = this.ancestors().nth(2).context("this program was not started by cargo")?;
    Ok(target.to_owned())
}
