//! One service as a child process: started, watched, its log lines passed on, stopped.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a service may take to become ready.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// How long a service may take to end what it is doing.
const STOP_PATIENCE: Duration = Duration::from_secs(35);

/// A running service.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    child: Child,
    pid_file: PathBuf,
}

impl Service {
    /// Starts the program that lies beside this one.
    pub(crate) fn start(name: &'static str, settings: &Path, folder: &Path) -> Result<Self> {
        let pid_file = pid_file(folder, name);
        let mut child = Command::new(program(name)?)
            .arg("--settings")
            .arg(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A group of its own: on Ctrl-C it is told to stop here, in the right order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        if let Some(pid) = child.id() {
            std::fs::write(&pid_file, pid.to_string())?;
        }
        let log = child.stderr.take().context("the service's standard error is piped")?;
        tokio::spawn(async move {
            let mut lines = BufReader::new(log).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("{name:>13} │ {line}");
            }
        });
        Ok(Self { name, child, pid_file })
    }

    /// Waits until the service says that it can work.
    pub(crate) async fn ready(&mut self, url: &str) -> Result<()> {
        let client = reqwest::Client::new();
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} before it was ready; its last lines above say why", self.name);
            }
            let answer = client.get(format!("{url}/readyz")).timeout(Duration::from_secs(2)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} is not ready after {} s", self.name, READY_PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Completes when the service ends by itself.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => anyhow::anyhow!("{} ended with {status}", self.name),
            Err(error) => anyhow::anyhow!(error).context(self.name),
        }
    }

    /// Asks the service to finish and waits for it; ends it where it takes too long.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(to_pid) {
            // Gone already: then there is nothing to ask.
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(STOP_PATIENCE, self.child.wait()).await.is_err() {
            eprintln!("{} did not stop in {} s and is ended", self.name, STOP_PATIENCE.as_secs());
            self.child.kill().await?;
        }
        let _ = std::fs::remove_file(&self.pid_file);
        Ok(())
    }
}

/// The program of that name beside this one, so that debug starts debug and release starts release.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is not built; run `cargo build`, or `cargo xtask dev`, which does it", path.display());
    }
    Ok(path)
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

fn pid_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pid"))
}

/// Ends a service that outlived a `rowhouse dev` which was killed. The number alone proves nothing, so
/// the process must also bear the name.
pub(crate) async fn end_leftover(folder: &Path, name: &str) -> Result<()> {
    let Ok(text) = std::fs::read_to_string(pid_file(folder, name)) else { return Ok(()) };
    let Some(pid) = text.trim().parse().ok().and_then(to_pid) else { return Ok(()) };
    let listed = Command::new("ps").args(["-o", "command=", "-p", text.trim()]).output().await?;
    if !String::from_utf8_lossy(&listed.stdout).contains(name) {
        return Ok(());
    }
    eprintln!("ending a {name} that was left running (process {})", text.trim());
    let deadline = Instant::now() + STOP_PATIENCE;
    let _ = kill_process(pid, Signal::TERM);
    while test_kill_process(pid).is_ok() {
        if Instant::now() > deadline {
            let _ = kill_process(pid, Signal::KILL);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
