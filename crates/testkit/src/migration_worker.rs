//! A process that takes part in runs of migrations, for tests that end it in one way or another.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::house::{TestHouse, program};
use crate::processes::{self, Frozen};

/// `rowhouse migrate worker` over a house's tenants.
pub struct MigrationWorker {
    child: Child,
    _folder: TempDir,
}

impl TestHouse {
    /// Starts one for so many schemas at once, with the migrations of a folder. It needs a moment to be at work.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn migration_worker(&self, tenant_folder: &Path, parallel: usize) -> MigrationWorker {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let file = folder.path().join("settings.toml");
        let further = format!(
            "migrations = {{ poll = \"100ms\", lease = \"3s\", verify_after_runs = false, tenant_folder = {tenant_folder:?} }}\n"
        );
        std::fs::write(&file, self.control_plane_settings(&further)).expect("a temporary file can be written");
        let mut command = Command::new(program("rowhouse"));
        command.args(["migrate", "worker", "--settings"]).arg(&file).args(["--parallel", &parallel.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.kill_on_drop(true).spawn().expect("a worker starts");
        MigrationWorker { child, _folder: folder }
    }
}

impl MigrationWorker {
    /// Asks it to finish what it has begun and end, as soon as it has come so far that it understands.
    ///
    /// # Panics
    /// Where it is gone already, or never comes so far.
    pub async fn terminate(&self) {
        let id = self.started().await;
        kill_process(id, Signal::TERM).expect("the process can be signalled");
    }

    /// Waits until it takes part: before, one that finds nobody at `saas_platform` gives up.
    ///
    /// # Panics
    /// Where it is gone already, or never comes so far.
    pub async fn started(&self) -> Pid {
        let id = Pid::from_raw(self.id()).expect("the process runs");
        let begun = Instant::now();
        while !processes::catches(id, Signal::TERM) {
            assert!(begun.elapsed() < Duration::from_secs(30), "the worker does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        id
    }

    /// Stops it in the middle of what it does, until the value is dropped.
    ///
    /// # Panics
    /// Where it is gone already.
    pub fn freeze(&self) -> Frozen {
        Frozen::freeze(self.id())
    }

    /// The process's id, which what it claims is under.
    ///
    /// # Panics
    /// Where it is gone already.
    pub fn id(&self) -> i32 {
        self.child.id().and_then(|id| i32::try_from(id).ok()).expect("the process runs")
    }

    /// Ends it on the spot.
    ///
    /// # Panics
    /// Where it is gone already.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Whether it is still there.
    ///
    /// # Panics
    /// Where the system does not say.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the process can be asked about").is_none()
    }

    /// Waits for its end and gives its exit code.
    ///
    /// # Panics
    /// Where it does not end in 35 seconds.
    pub async fn exit_code(mut self) -> Option<i32> {
        let ended = tokio::time::timeout(Duration::from_secs(35), self.child.wait()).await;
        ended.expect("the process ends in time").expect("the process can be waited for").code()
    }
}
