//! `demo` and `dev`: set up, build the three programs, hand over to `rowhouse`.

use std::{ffi::OsString, os::unix::process::CommandExt, path::PathBuf, process::Command, time::Instant};

use anyhow::{Context, anyhow};

use crate::{
    console, setup,
    workspace::{self, Profile},
};

const PACKAGES: [&str; 3] = ["rowhouse-cli", "rowhouse-control-plane", "rowhouse-data-plane"];

/// Shows the main job on real input.
pub(crate) fn demo(once: bool, input: Option<PathBuf>, release: bool) -> anyhow::Result<()> {
    let mut arguments = vec![OsString::from("demo")];
    if once {
        arguments.push("--once".into());
    }
    if let Some(folder) = input {
        // `rowhouse` is started in the root; the folder is meant from where we are.
        let folder = folder.canonicalize().with_context(|| format!("no folder {}", folder.display()))?;
        arguments.push("--input".into());
        arguments.push(folder.into());
    }
    hand_over(Profile::of(release), &arguments)
}

/// Runs both services on a private PostgreSQL.
pub(crate) fn dev(release: bool, rest: Vec<OsString>) -> anyhow::Result<()> {
    let mut arguments = vec![OsString::from("dev")];
    arguments.extend(rest);
    hand_over(Profile::of(release), &arguments)
}

/// Measures release builds.
pub(crate) fn bench(arguments: Vec<OsString>) -> anyhow::Result<()> {
    setup::ensure()?;
    build(Profile::Release, &["rowhouse-tests"])?;
    become_program(Profile::Release, "rowhouse-bench", &arguments)
}

/// Becomes `rowhouse`, so that Ctrl-C and the exit code are its own.
fn hand_over(profile: Profile, arguments: &[OsString]) -> anyhow::Result<()> {
    setup::ensure()?;
    build(profile, &[])?;
    become_program(profile, "rowhouse", arguments)
}

fn build(profile: Profile, further: &[&str]) -> anyhow::Result<()> {
    let started = Instant::now();
    console::doing("building rowhouse, control-plane and data-plane");
    let mut build = workspace::cargo(&["build", "--bins"]);
    build.args(PACKAGES.iter().chain(further).flat_map(|package| ["--package", package]));
    if profile == Profile::Release {
        build.arg("--release");
    }
    console::run(&mut build)?;
    console::done(&format!("built in {}", console::seconds(started.elapsed())));
    Ok(())
}

fn become_program(profile: Profile, name: &str, arguments: &[OsString]) -> anyhow::Result<()> {
    let program = workspace::programs(profile)?.join(name);
    let error = Command::new(&program).args(arguments).current_dir(workspace::root()).exec();
    Err(anyhow!(error).context(format!("cannot run {}", program.display())))
}
