//! Where a cluster's files lie.
//!
//! A cluster's folder holds the marker, the password, the log and `data`. When the server runs as another account that can't
//! reach that folder (a clone under `/root`), `data` is a link to a folder of ours under `/var/tmp`.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{Error, account::Account, error::IoContext, marker::Marker};

/// Held while a cluster is started, stopped or deleted.
pub(crate) const LOCK_FILE: &str = "lock";
const FALLBACK_PARENT: &str = "/var/tmp";
/// A test cluster with a few dozen databases fits; a container's usual 64 MiB of shared memory does not hold one.
const ENOUGH_FOR_TESTS: u64 = 1 << 30;

/// The files of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The folder that was asked for.
    pub(crate) home: PathBuf,
    /// PostgreSQL's data directory.
    pub(crate) data: PathBuf,
    /// The folder outside `home`, where one was needed.
    outside: Option<PathBuf>,
}

impl Place {
    /// Makes the folders of a cluster whose home exists and carries this marker.
    pub(crate) fn prepare(home: &Path, marker: &Marker, account: Option<Account>) -> Result<Self, Error> {
        let mode = if account.is_some() { 0o711 } else { 0o700 };
        fs::set_permissions(home, fs::Permissions::from_mode(mode)).trying("set the permissions of", home)?;
        let place = Self::existing(home);
        let Some(account) = account else { return Ok(place) };
        if place.outside.is_none() && account.can_reach(home)? {
            return Ok(place);
        }
        let outside = place.outside.unwrap_or_else(|| fallback(home));
        claim(&outside, marker)?;
        let data = outside.join("data");
        let link = home.join("data");
        if !link.is_symlink() {
            std::os::unix::fs::symlink(&data, &link).trying("make the link", &link)?;
            tracing::info!(link = %link.display(), "the server's account can't enter the folder: data lies under {FALLBACK_PARENT}");
        }
        Ok(Self { home: home.to_path_buf(), data, outside: Some(outside) })
    }

    /// The place of a cluster as it is on disk.
    pub(crate) fn existing(home: &Path) -> Self {
        let data = home.join("data");
        match fs::read_link(&data) {
            Ok(target) => {
                Self { home: home.to_path_buf(), outside: target.parent().map(Path::to_path_buf), data: target }
            }
            Err(_) => Self { home: home.to_path_buf(), data, outside: None },
        }
    }

    /// The server's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.home.join("postgres.log")
    }

    /// Every folder that makes up the cluster.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        self.outside.iter().chain([&self.home]).cloned().collect()
    }

    /// Deletes it all. The server must be stopped.
    pub(crate) fn delete(&self) -> Result<(), Error> {
        // The home goes last: as long as its marker is there, an interrupted deletion can be repeated.
        for folder in self.folders() {
            if folder.exists() {
                fs::remove_dir_all(&folder).trying("delete", &folder)?;
            }
        }
        Ok(())
    }
}

/// A folder in memory for clusters that tests throw away: `/dev/shm` where it is a roomy tmpfs, else the temporary folder.
pub fn default_tmpfs() -> PathBuf {
    let shared_memory = Path::new("/dev/shm");
    if is_roomy_tmpfs(shared_memory) { shared_memory.to_path_buf() } else { std::env::temp_dir() }
}

#[cfg(target_os = "linux")]
fn is_roomy_tmpfs(folder: &Path) -> bool {
    // The field's type differs between architectures, so it is widened the way every integer type allows.
    const TMPFS_MAGIC: i128 = 0x0102_1994;
    let writable = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok();
    let Ok(filesystem) = rustix::fs::statfs(folder) else { return false };
    let Ok(block) = u64::try_from(filesystem.f_bsize) else { return false };
    writable && i128::from(filesystem.f_type) == TMPFS_MAGIC && filesystem.f_bavail * block >= ENOUGH_FOR_TESTS
}

#[cfg(not(target_os = "linux"))]
fn is_roomy_tmpfs(_folder: &Path) -> bool {
    false
}

fn fallback(home: &Path) -> PathBuf {
    Path::new(FALLBACK_PARENT).join(format!("rowhouse-{:016x}", hash(home)))
}

/// FNV-1a: stable between releases of the compiler, which the standard library's hasher need not be.
fn hash(path: &Path) -> u64 {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Makes the outside folder, or takes the one that is there, if it is ours: anyone may write to its parent.
fn claim(outside: &Path, marker: &Marker) -> Result<(), Error> {
    let made = DirBuilder::new().mode(0o711).create(outside);
    if made.is_err() {
        let metadata = fs::symlink_metadata(outside).trying("look at", outside)?;
        if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(Error::ForeignDirectory(outside.to_path_buf()));
        }
        // What an earlier cluster of the same home left behind went with that home.
        let left_behind = Marker::find(outside)?.is_some_and(|theirs| theirs.id != marker.id);
        if left_behind {
            crate::postmaster::stop_at(&outside.join("data"));
            fs::remove_dir_all(outside).trying("delete", outside)?;
            DirBuilder::new().mode(0o711).create(outside).trying("make", outside)?;
        }
    }
    marker.write(outside)
}
