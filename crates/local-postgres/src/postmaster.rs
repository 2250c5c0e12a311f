//! The server process of a data directory: is one running, which, and how to end it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use crate::{Error, error::IoContext};

/// A fast shutdown writes a checkpoint first, which takes a while on a slow disk.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// A server that runs on one of our data directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    pub(crate) port: u16,
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// Ends sessions, writes everything down.
    Fast,
    /// Ends at once; for data that nobody needs any more.
    Immediate,
}

impl Shutdown {
    fn signal(self) -> Signal {
        match self {
            Self::Fast => Signal::INT,
            Self::Immediate => Signal::QUIT,
        }
    }
}

/// The server that runs on this data directory. A process of another kind that inherited a dead server's number does not count.
pub(crate) fn find(data: &Path) -> Option<Running> {
    let text = fs::read_to_string(pid_file(data)).ok()?;
    let running = parse(&text)?;
    serves(running.pid, data).then_some(running)
}

/// Makes a pid file that a dead server left harmless.
///
/// PostgreSQL will not start while the recorded number belongs to a living process, whatever that is, but takes its own parent's
/// number for a leftover. The file's other lines stay: through them it notices orphaned backends that still use the old memory.
pub(crate) fn disarm_stale_pid_file(data: &Path) -> Result<(), Error> {
    let path = pid_file(data);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).trying("read", path),
    };
    let Some((_, rest)) = text.split_once('\n') else {
        // Cut short by a crash: it says nothing, and PostgreSQL refuses to read it.
        return fs::remove_file(&path).trying("delete", path);
    };
    fs::write(&path, format!("{}\n{rest}", std::process::id())).trying("write", path)
}

/// Tells a server to end.
pub(crate) fn signal(pid: i32, shutdown: Shutdown) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended by itself in the meantime, which is what was wanted.
        let _ = rustix::process::kill_process(pid, shutdown.signal());
    }
}

/// Ends the server of a data directory and waits until it is gone.
pub(crate) async fn stop(data: &Path, shutdown: Shutdown) -> Result<(), Error> {
    let Some(running) = find(data) else { return Ok(()) };
    signal(running.pid, shutdown);
    let deadline = Instant::now() + PATIENCE;
    while serves(running.pid, data) {
        if Instant::now() > deadline {
            return Err(Error::DidNotStop(running.pid));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// As [`stop`], at once and where nothing can be awaited.
#[expect(clippy::disallowed_methods, reason = "destructors and clean-up of leftovers can't await")]
pub(crate) fn stop_at(data: &Path) {
    let Some(running) = find(data) else { return };
    signal(running.pid, Shutdown::Immediate);
    let deadline = Instant::now() + PATIENCE;
    while serves(running.pid, data) && Instant::now() < deadline {
        std::thread::sleep(PAUSE);
    }
}

fn pid_file(data: &Path) -> PathBuf {
    data.join("postmaster.pid")
}

/// Number, data directory, start time, port.
fn parse(text: &str) -> Option<Running> {
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok()?;
    let port = lines.nth(2)?.trim().parse().ok()?;
    Some(Running { pid, port })
}

/// Whether this process is a server started on this data directory. A zombie's command line is empty, so it is not.
fn serves(pid: i32, data: &Path) -> bool {
    let words = command_line(pid);
    let is_postgres = words.first().is_some_and(|program| program.ends_with("postgres"));
    is_postgres && words.iter().any(|word| Path::new(word) == data)
}

#[cfg(target_os = "linux")]
fn command_line(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).split('\0').map(String::from).collect()
}

#[cfg(not(target_os = "linux"))]
fn command_line(pid: i32) -> Vec<String> {
    let output = std::process::Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output();
    let line = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    line.split_whitespace().map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::{Running, parse};

    #[test]
    fn the_pid_file_names_process_and_port() {
        let text = "4711\n/data\n1700000000\n54329\n\n127.0.0.1\n  1234  5\nready   \n";
        assert_eq!(parse(text), Some(Running { pid: 4711, port: 54329 }));
        assert_eq!(parse("4711\n"), None);
        assert_eq!(parse(""), None);
    }
}
