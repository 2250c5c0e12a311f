//! `apt-get`, as root or through a `sudo` that asks for nothing.

use std::{fs, path::Path, process::Command, time::Instant};

use rowhouse_local_postgres::Version;

use crate::console;

/// The means to install packages on this machine.
pub(crate) struct Apt {
    prefix: &'static [&'static str],
    refreshed: bool,
}

impl Apt {
    /// None where there is no apt, or no right to use it.
    pub(crate) fn usable() -> Option<Self> {
        if !Path::new("/usr/bin/apt-get").is_file() {
            return None;
        }
        if run_as_root() {
            return Some(Self { prefix: &[], refreshed: false });
        }
        let passwordless = console::succeeds(Command::new("sudo").args(["-n", "true"]));
        passwordless.then_some(Self { prefix: &["sudo", "-n"], refreshed: false })
    }

    /// Fetches the package lists, once a run.
    pub(crate) fn refresh(&mut self) -> anyhow::Result<()> {
        if self.refreshed {
            return Ok(());
        }
        console::doing("apt-get update");
        console::run_quietly(self.as_root("apt-get").args(["update", "-q"]))?;
        self.refreshed = true;
        Ok(())
    }

    /// The version of a package that would be installed, if the machine's sources have it.
    pub(crate) fn candidate(&self, package: &str) -> anyhow::Result<Option<Version>> {
        let policy = console::run_quietly(Command::new("apt-cache").env("LC_ALL", "C").args(["policy", package]))?;
        let line = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"));
        Ok(line.and_then(Version::parse))
    }

    /// Installs packages, having refreshed the lists.
    pub(crate) fn install(&mut self, packages: &[&str]) -> anyhow::Result<()> {
        self.refresh()?;
        let started = Instant::now();
        console::doing(&format!("installing {}", packages.join(", ")));
        let mut command = self.as_root("env");
        command.args([
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "install",
            "--yes",
            "--quiet",
            "--no-install-recommends",
        ]);
        console::run_quietly(command.args(packages))?;
        console::done(&format!("installed {} in {}", packages.join(", "), console::seconds(started.elapsed())));
        Ok(())
    }

    /// A command that runs as root.
    pub(crate) fn as_root(&self, program: &str) -> Command {
        let Some((first, rest)) = self.prefix.split_first() else { return Command::new(program) };
        let mut command = Command::new(first);
        command.args(rest).arg(program);
        command
    }
}

/// Asks the program that every Unix has, rather than calling into libc.
fn run_as_root() -> bool {
    console::run_quietly(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// A field of `/etc/os-release`, such as `ID` or `VERSION_CODENAME`.
pub(crate) fn os_release(field: &str) -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix('='))?;
    Some(line.trim_matches('"').to_owned())
}
