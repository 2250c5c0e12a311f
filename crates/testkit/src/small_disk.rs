//! A file system that is quickly full.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A small file system in memory, gone with this value.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one.
    ///
    /// # Panics
    /// Where that is not allowed: only root may.
    pub fn mount(mebibytes: u32) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let size = format!("size={mebibytes}m,mode=755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        assert!(mounted.is_ok_and(|status| status.success()), "this test mounts a file system, which only root may");
        open_to_all(folder.path());
        Self(folder)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves nothing of it.
    pub fn fill(&self) {
        let ballast = self.0.path().join("ballast");
        // It ends with the error that is wanted.
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k", "status=none"])
            .arg(format!("of={}", ballast.display()))
            .status();
    }

    /// Makes room again.
    ///
    /// # Panics
    /// Where it was not filled.
    pub fn free(&self) {
        std::fs::remove_file(self.0.path().join("ballast")).expect("what fills the disk can be deleted");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// The server runs under an account of its own.
///
/// # Panics
/// Where the folder's rights can't be changed.
pub fn open_to_all(folder: &Path) {
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .expect("a folder of our own can be opened");
}
