//! What Rowhouse is measured against: a bare actix-web server that does nothing but the work, as a process of its own.

mod files;
mod handlers;
mod query;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::tenants::Login;

pub(crate) use handlers::serve;
pub(crate) use query::find;

/// How long a floor may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// The subcommand of this program that is a floor.
pub(crate) const SUBCOMMAND: &str = "floor";

/// Which floor.
#[derive(Serialize, Deserialize)]
pub(crate) enum Kind {
    /// One pool, nobody is asked for a key.
    Shared { login: Login, size: usize },
    /// A pool for each key, made at its first request: what one would write first.
    Naive { logins: HashMap<String, Login>, size: usize },
    /// Streams what it is sent to files of this folder.
    Files { folder: PathBuf },
}

/// A running floor; it ends when this is dropped.
pub(crate) struct Floor {
    pub(crate) url: String,
    /// It serves for as long as this is open, so that it never outlives us.
    _lifeline: ChildStdin,
    _child: Child,
}

impl Floor {
    pub(crate) async fn start(kind: &Kind) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the floor")?;
        let mut lifeline = child.stdin.take().context("standard input is piped")?;
        // Not as an argument: it holds passwords.
        lifeline.write_all(format!("{}\n", serde_json::to_string(kind)?).as_bytes()).await?;
        let output = child.stdout.take().context("standard output is piped")?;
        match tokio::time::timeout(PATIENCE, BufReader::new(output).lines().next_line()).await {
            Ok(Ok(Some(url))) => Ok(Self { url, _lifeline: lifeline, _child: child }),
            _ => bail!("the floor does not listen"),
        }
    }
}
