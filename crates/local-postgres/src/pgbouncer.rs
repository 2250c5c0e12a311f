//! Where PgBouncer is, if it is on this machine. Only looks; installs nothing and starts nothing.

use std::{path::PathBuf, process::Command};

use crate::Version;

/// Debian puts it where only root's search path leads.
const CANDIDATES: [&str; 4] =
    ["pgbouncer", "/usr/sbin/pgbouncer", "/usr/local/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"];
/// The oldest that keeps named statements when each transaction may have another connection.
const KEEPS_STATEMENTS: Version = Version::new(1, 21);

/// An installed PgBouncer.
#[derive(Clone, Debug)]
pub struct PgBouncer {
    program: PathBuf,
    version: Version,
}

impl PgBouncer {
    /// Finds it.
    pub fn find() -> Option<Self> {
        CANDIDATES.iter().find_map(|program| {
            let output = Command::new(program).arg("--version").output().ok()?;
            let version = Version::parse(&String::from_utf8_lossy(&output.stdout))?;
            Some(Self { program: PathBuf::from(program), version })
        })
    }

    /// The program.
    pub fn program(&self) -> &PathBuf {
        &self.program
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether `pool_mode = transaction` bears named statements (`max_prepared_statements`).
    pub fn keeps_statements(&self) -> bool {
        self.version >= KEEPS_STATEMENTS
    }
}
