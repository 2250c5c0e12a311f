//! A further data plane as a process of its own, for tests that end it the hard way.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rowhouse_domain::Tier;
use rustix::process::{Pid, Signal, kill_process};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::cluster::{CONTROL_PASSWORD, DATA_PASSWORD, TestCluster};
use crate::databases::master_key;
use crate::house::{TestHouse, program};
use crate::processes::Frozen;

/// The file in its folder that it logs to.
const LOG: &str = "log";

/// How long the process may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// A data plane that can be killed. It shares the house's `saas_platform` and contents.
pub struct DataPlaneProcess {
    /// The service, without a key.
    pub client: Client,
    child: Child,
    folder: TempDir,
}

impl TestHouse {
    /// Starts one; `further` is TOML that is laid over what it needs to run.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn data_plane_process(&self, further: &str) -> DataPlaneProcess {
        self.data_plane_process_through(TestCluster::get().port(), further).await
    }

    /// The same, with `saas_platform` reached through another port than the server's own: a proxy's.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn data_plane_process_through(&self, platform: u16, further: &str) -> DataPlaneProcess {
        let mut process = self.data_plane_process_without(platform, further).await;
        process.until("/readyz").await;
        process
    }

    /// The same for one that can't become ready: it is waited for until it listens.
    ///
    /// # Panics
    /// Where it ends.
    pub async fn data_plane_process_without(&self, platform: u16, further: &str) -> DataPlaneProcess {
        self.spawn_data_plane(platform, further, &[]).await
    }

    /// The same with environment variables of its own.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn data_plane_process_in(&self, environment: &[(&str, &str)], further: &str) -> DataPlaneProcess {
        let mut process = self.spawn_data_plane(TestCluster::get().port(), further, environment).await;
        process.until("/readyz").await;
        process
    }

    async fn spawn_data_plane(&self, platform: u16, further: &str, environment: &[(&str, &str)]) -> DataPlaneProcess {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let port = free_port();
        let (file, journal) = (folder.path().join("settings.toml"), folder.path().join("usage"));
        let text = format!(
            "platform = {{ port = {}, database = {:?}, password = {DATA_PASSWORD:?}, max_connections = 4 }}\n\
             keys.master_key = {:?}\nblobs.root = {:?}\ndata_plane = {{ port = {port}, workers = 1 }}\nadmin.port = 0\n{}{}{}{further}",
            platform,
            self.platform,
            master_key().to_text().expose_secret(),
            self.blob_root(),
            no_rate_limits(),
            // As in the house, unless the test is about them.
            if further.contains("largest_block") { "" } else { "quota.largest_block = 0\n" },
            if further.contains("usage.journal") { String::new() } else { format!("usage.journal = {journal:?}\n") },
        );
        std::fs::write(&file, text).expect("a temporary file can be written");
        let mut command = Command::new(program("data-plane"));
        let log = File::create(folder.path().join(LOG)).expect("a temporary file can be made");
        command.arg("--settings").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.envs(environment.iter().copied());
        let child = command.kill_on_drop(true).spawn().expect("the data plane starts");
        let client = Client::new(&format!("http://127.0.0.1:{port}"), None);
        let mut process = DataPlaneProcess { client, child, folder };
        process.until("/healthz").await;
        process
    }
}

impl DataPlaneProcess {
    /// The most memory that it ever had, in bytes (`VmHWM` of proc(5)).
    ///
    /// # Panics
    /// Where the kernel does not say.
    pub fn peak_memory(&self) -> u64 {
        let id = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it has a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells it");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("it is a number");
        kibibytes * 1024
    }

    /// What it has logged.
    ///
    /// # Panics
    /// Where that can't be read.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join(LOG)).expect("the log can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn until(&mut self, path: &str) {
        let begun = Instant::now();
        while !self.client.succeeds(path).await {
            let ended = self.child.try_wait().expect("the process can be asked about");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "the data plane has no {path}: {ended:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Settings without limits, as the house has none.
fn no_rate_limits() -> String {
    let tiers = Tier::ALL.iter().flat_map(|tier| [format!("tenant.{tier}"), format!("key.{tier}")]);
    let limits = std::iter::once("address".to_owned()).chain(tiers);
    limits.map(|limit| format!("rate_limits.{limit}.per_second = 0\n")).collect()
}

/// A control plane that can be killed, or kills itself where a failpoint says so. It shares the house's `saas_platform`.
pub struct ControlPlaneProcess {
    child: Child,
    _folder: TempDir,
}

impl TestHouse {
    /// Starts one. `failpoints` is what the crate `fail` reads: `tenant_provision.role.ran=return`.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn control_plane_process(&self, failpoints: &str) -> ControlPlaneProcess {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let file = folder.path().join("settings.toml");
        // Nobody calls it, so any port will do.
        let further = "control_plane = { port = 0, workers = 1 }\n\
             provisioning = { stock = 0, poll = \"100ms\", lease = \"2s\" }\npurge.max_per_hour = 1000\n";
        std::fs::write(&file, self.control_plane_settings(further)).expect("a temporary file can be written");
        let mut command = Command::new(program("control-plane"));
        command.arg("--settings").arg(&file).env("FAILPOINTS", failpoints);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.kill_on_drop(true).spawn().expect("the control plane starts");
        ControlPlaneProcess { child, _folder: folder }
    }
}

impl TestHouse {
    /// TOML for a process that works as a control plane of this house; `further` is added to it.
    pub fn control_plane_settings(&self, further: &str) -> String {
        format!(
            "platform = {{ port = {}, database = {:?}, password = {CONTROL_PASSWORD:?}, max_connections = 4 }}\n\
             keys.master_key = {:?}\nblobs.root = {:?}\n{further}",
            self.port(),
            self.platform,
            master_key().to_text().expose_secret(),
            self.blob_root(),
        )
    }
}

impl ControlPlaneProcess {
    /// Stops it in the middle of what it does, until the value is dropped.
    ///
    /// # Panics
    /// Where it is gone already.
    pub fn freeze(&self) -> Frozen {
        Frozen::freeze(self.child.id().and_then(|id| i32::try_from(id).ok()).expect("the process runs"))
    }

    /// Waits until it has killed itself.
    ///
    /// # Panics
    /// Where it does not within a minute, or ends in another way.
    pub async fn dies(mut self, why: &str) {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("nothing has come to {why}")).expect("it can be waited for");
        let signal = std::os::unix::process::ExitStatusExt::signal(&ended);
        assert_eq!(signal, Some(Signal::KILL.as_raw()), "it ended otherwise than by {why}: {ended:?}");
    }

    /// Ends it on the spot.
    ///
    /// # Panics
    /// Where it is gone already.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }
}

impl DataPlaneProcess {
    /// Asks it to finish what it does and end.
    ///
    /// # Panics
    /// Where it is gone already.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it on the spot.
    ///
    /// # Panics
    /// Where it is gone already.
    pub async fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().await.expect("the process can be waited for");
    }

    /// Waits for its end and gives its exit code.
    ///
    /// # Panics
    /// Where it does not end in 35 seconds.
    pub async fn exit_code(mut self) -> Option<i32> {
        let ended = tokio::time::timeout(Duration::from_secs(35), self.child.wait()).await;
        ended.expect("the process ends in time").expect("the process can be waited for").code()
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(id.expect("the process runs"), signal).expect("the process can be signalled");
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("a listener has an address").port()
}
