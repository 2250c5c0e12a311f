//! `test`: everything that a change must pass, exactly as the continuous integration runs it.

use std::{ffi::OsString, time::Instant};

use anyhow::bail;

use crate::{
    console, races,
    setup::{self, Clients},
    workspace,
};

/// Runs every stage and stops at the first that fails. Cargo's own summary is the last thing printed, but for what was not tested.
pub(crate) fn run(soak: bool, strict: bool, arguments: &[OsString]) -> anyhow::Result<()> {
    let started = Instant::now();
    console::heading("setup", started);
    setup::ensure_with_pgbouncer()?;
    let clients = Clients::ensure()?;
    ensure_component("fmt", "rustfmt")?;
    ensure_component("clippy", "clippy")?;

    console::heading("format", started);
    console::run(&mut workspace::cargo(&["fmt", "--all", "--check"]))?;

    console::heading("lint", started);
    console::run(&mut workspace::cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;

    console::run(&mut workspace::cargo(&[
        "clippy",
        "--package",
        "rowhouse-blobs",
        "--features",
        "rusoto",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;

    // The programs too: whole-system tests start them.
    console::heading("build", started);
    console::run(&mut workspace::cargo(&["build", "--workspace", "--bins", "--tests"]))?;

    // A feature that is off by default, for the one crate that has it; everything else is tested below.
    console::heading("test the rusoto backend", started);
    console::run(&mut workspace::cargo(&["test", "--package", "rowhouse-blobs", "--features", "rusoto"]))?;

    // In a folder of its own, as everything is built anew under this flag.
    console::heading("test every order of steps", started);
    let mut orders =
        workspace::cargo(&["test", "--package", "rowhouse-trust", "--test", "loom", "--target-dir", "target/loom"]);
    console::run(orders.env("RUSTFLAGS", "--cfg loom"))?;

    console::heading("test", started);
    let result = races::run(&clients, soak, !strict, arguments);
    clients.tell_missing();
    result
}

/// A minimal toolchain has neither, and cargo's own message does not say how to get them.
fn ensure_component(command: &str, component: &str) -> anyhow::Result<()> {
    if console::succeeds(&mut workspace::cargo(&[command, "--version"])) {
        return Ok(());
    }
    bail!("cargo {command} is missing: run `rustup component add {component}`")
}
