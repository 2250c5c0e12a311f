//! What the commands print, and how they run other programs. Everything goes to standard error except what a program run here prints itself.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

/// A step that is done or was already done.
pub(crate) fn done(text: &str) {
    eprintln!("✓ {text}");
}

/// A step that takes a while and begins now.
pub(crate) fn doing(text: &str) {
    eprintln!("… {text}");
}

/// Something that is missing.
pub(crate) fn missing(text: &str) {
    eprintln!("✗ {text}");
}

/// The heading of one stage of a longer command.
pub(crate) fn heading(text: &str, since: Instant) {
    eprintln!("\n== {text} (at {})", seconds(since.elapsed()));
}

/// A duration the way people read it.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Runs a program whose output belongs on the terminal, and fails when it does.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs a program without showing what it prints, unless it fails; gives back its standard output.
pub(crate) fn run_quietly(command: &mut Command) -> anyhow::Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{shown}`"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed ({}):\n{}{}", output.status, tail(&printed), tail(&complaint));
    }
    Ok(printed)
}

/// Whether a program is there and says yes.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(OsStr::to_string_lossy).map(String::from));
    words.join(" ")
}

/// The last lines are the ones that say why.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let kept = &lines[lines.len().saturating_sub(25)..];
    kept.iter().map(|line| format!("  {line}\n")).collect()
}
