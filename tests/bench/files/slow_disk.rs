//! A disk that takes its time to promise: a library in front of the system's `fsync` and `fdatasync`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

/// The library, deleted with this.
pub(super) struct SlowDisk {
    library: PathBuf,
    _folder: TempDir,
}

impl SlowDisk {
    /// Has each sync take so many milliseconds longer.
    pub(super) async fn new(milliseconds: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (source, library) = (folder.path().join("slow_sync.c"), folder.path().join("slow_sync.so"));
        std::fs::write(&source, include_str!("slow_sync.c"))?;
        let delay = format!("-DSYNC_MICROSECONDS={}", u64::from(milliseconds) * 1_000);
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", &delay, "-o"]).arg(&library).arg(&source);
        ensure!(compiler.status().await?.success(), "cc could not compile {}", source.display());
        // PostgreSQL runs as another user.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open)?;
        Ok(Self { library, _folder: folder })
    }

    /// What the environment of those who are to notice needs.
    pub(super) fn setting(&self) -> (&'static str, String) {
        ("LD_PRELOAD", self.library.display().to_string())
    }
}
