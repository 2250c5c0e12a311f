//! nginx as a floor for downloads: it does nothing but send files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::house::free_port;

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);
/// Debian keeps it where a user's PATH does not look.
const PROGRAMS: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// A running nginx of our own.
pub(super) struct Nginx {
    pub(super) address: SocketAddr,
    child: Child,
}

impl Nginx {
    /// Serves what lies in `folder/served`; nothing where nginx is not installed.
    pub(super) async fn start(folder: &Path) -> Result<Option<Self>> {
        let Some(program) = installed().await else {
            println!("  no floor for downloads: nginx is not installed (Debian has it: apt-get install nginx-light)");
            return Ok(None);
        };
        let address: SocketAddr = ([127, 0, 0, 1], free_port()?).into();
        let settings = folder.join("nginx.conf");
        std::fs::write(&settings, settings_of(folder, address))?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&settings)
            .arg("-e")
            .arg(folder.join("nginx.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting nginx")?;
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            ensure!(begun.elapsed() < PATIENCE, "nginx does not listen: see {}", folder.join("nginx.log").display());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Some(Self { address, child }))
    }

    /// Told to stop, so that its workers end with it.
    pub(super) async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        self.child.wait().await?;
        Ok(())
    }
}

async fn installed() -> Option<PathBuf> {
    for program in PROGRAMS {
        if Command::new(program).arg("-v").output().await.is_ok() {
            return Some(program.into());
        }
    }
    None
}

/// As Debian has it, but for the paths and what it would write of each request.
fn settings_of(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 768; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    server {{
        listen {address};
        root {folder}/served;
    }}
}}
"
    )
}
