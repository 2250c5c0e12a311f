//! What can go wrong here, each case saying what is missing and what to do about it.

use std::{io, path::PathBuf};

use crate::Version;

/// Why PostgreSQL could not be found, or a private cluster not made, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No folder that was looked at holds the server's binaries.
    #[error("no PostgreSQL server found (looked in {}); run `cargo xtask setup`, or set ROWHOUSE_PG_BINDIR to the folder that holds `initdb` and `postgres`", join(.looked_in))]
    NotInstalled {
        /// The folders that were looked at.
        looked_in: Vec<PathBuf>,
    },
    /// Only servers that are too old are there.
    #[error("PostgreSQL {version} in {} is too old: {required} or newer is needed", .bindir.display())]
    TooOld {
        /// What was found.
        version: Version,
        /// What is needed at least.
        required: Version,
        /// Where it was found.
        bindir: PathBuf,
    },
    /// The server is there, some of its extensions are not.
    #[error("PostgreSQL in {} lacks {}; run `cargo xtask setup`", .bindir.display(), .names.join(", "))]
    MissingExtensions {
        /// Their names, with the version where one is needed.
        names: Vec<String>,
        /// The server that lacks them.
        bindir: PathBuf,
    },
    /// The folder holds something, and no marker says that it is ours.
    #[error("{} is not empty and was not made by Rowhouse: nothing in it is touched; choose another folder", .0.display())]
    ForeignDirectory(PathBuf),
    /// Something else listens on the port.
    #[error("port {0} is taken by another program; choose another port")]
    PortTaken(u16),
    /// Running as root on a machine without an account that the server could run as.
    #[error("PostgreSQL refuses to run as root, and neither `postgres` nor `nobody` is in /etc/passwd")]
    NoAccount,
    /// A program of PostgreSQL's failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it printed.
        output: String,
    },
    /// The server ended, or did not answer in time.
    #[error("the PostgreSQL server did not become ready: {reason}; the end of {}:\n{log_tail}", .log.display())]
    NotReady {
        /// What happened.
        reason: String,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines.
        log_tail: String,
    },
    /// The server is still there after it was told to stop.
    #[error("PostgreSQL server {0} did not stop in time")]
    DidNotStop(i32),
    /// The marker or the password file of a cluster is damaged.
    #[error("{} is damaged: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused something.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file, folder or program.
        path: PathBuf,
        /// What it answered.
        source: io::Error,
    },
}

/// Names what was tried on a file, so that no bare "permission denied" reaches anyone.
pub(crate) trait IoContext<T> {
    /// Turns an I/O error into one that says what was tried on which path.
    fn trying(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> IoContext<T> for Result<T, E> {
    fn trying(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, Error> {
        self.map_err(|source| Error::Io { action, path: path.into(), source: source.into() })
    }
}

fn join(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}
