//! Blobs on this machine's disk.
//!
//! `LocalFileSystem` writes to `<name>#<n>` beside the destination and, with `with_fsync`, syncs the file, renames it
//! and syncs every folder whose entries changed. This module adds what it leaves open: a private root, and the
//! removal of unfinished files that a crash or a failed rename leaves behind.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use object_store::local::LocalFileSystem;

use crate::error::BlobError;
use crate::key::BlobKey;

/// Opens the folder, making it readable by its owner alone where it does not exist.
pub(crate) fn open(root: &Path) -> Result<(LocalFileSystem, PathBuf), BlobError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .and_then(|()| root.canonicalize())
        .map_err(|error| BlobError::Config(format!("blobs.local.root {}: {error}", root.display())))
        .and_then(|root| {
            let store = LocalFileSystem::new_with_prefix(&root).map_err(BlobError::of_store)?.with_fsync(true);
            Ok((store, root))
        })
}

/// Whether a file is one that `LocalFileSystem` has not published yet.
fn is_unfinished(name: &OsStr) -> bool {
    name.to_str()
        .and_then(|name| name.rsplit_once('#'))
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Opens the unfinished file of a key whose upload is under way.
pub(crate) fn open_unfinished(root: &Path, key: BlobKey) -> io::Result<File> {
    File::open(unfinished(root, key))
}

/// Removes the unfinished file that an upload's process has left behind, without looking through the tenant's folder.
pub(crate) fn remove_left_behind(root: &Path, key: BlobKey) -> io::Result<()> {
    ignore_missing(std::fs::remove_file(unfinished(root, key)))
}

/// Keys are used once, so an upload's file is the first of its name.
fn unfinished(root: &Path, key: BlobKey) -> PathBuf {
    root.join(key.tenant().to_string()).join(format!("{}#1", key.object()))
}

/// Removes the unfinished files of one key, whose upload has just failed.
///
/// Keys are used by one upload only, so nobody else can be writing these.
pub(crate) fn remove_unfinished(root: &Path, key: BlobKey) -> io::Result<()> {
    let prefix = format!("{}#", key.object());
    for entry in entries(&root.join(key.tenant().to_string()))? {
        let name = entry?.file_name();
        if is_unfinished(&name) && name.to_str().is_some_and(|name| name.starts_with(&prefix)) {
            ignore_missing(std::fs::remove_file(root.join(key.tenant().to_string()).join(name)))?;
        }
    }
    Ok(())
}

/// Removes unfinished files that nobody has written to for `age`, and says how many there were.
pub(crate) fn sweep(root: &Path, age: Duration) -> io::Result<u64> {
    let Some(limit) = SystemTime::now().checked_sub(age) else {
        return Ok(0);
    };
    let mut removed = 0;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder)? {
            let entry = entry?;
            // Links are not followed: a folder outside the root is none of ours.
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && is_unfinished(&entry.file_name()) {
                match entry.metadata().and_then(|metadata| metadata.modified()) {
                    Ok(modified) if modified <= limit => {
                        ignore_missing(std::fs::remove_file(entry.path()))?;
                        removed += 1;
                    }
                    Ok(_) => {}
                    Err(error) => ignore_missing(Err(error))?,
                }
            }
        }
    }
    Ok(removed)
}

fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<std::fs::DirEntry>>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(error),
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    #[tokio::test]
    async fn the_file_of_an_upload_under_way_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (store, root) = open(folder.path()).unwrap();
        let key = BlobKey::random(uuid::Uuid::from_u128(1));
        let mut upload = store.put_multipart(&key.path()).await.unwrap();
        upload.put_part("walrus".into()).await.unwrap();
        assert_eq!(open_unfinished(&root, key).unwrap().metadata().unwrap().len(), 6);
        upload.complete().await.unwrap();
        assert!(open_unfinished(&root, key).is_err());
    }

    #[test]
    fn only_staged_names_are_unfinished() {
        for (name, expected) in [("a#1", true), ("a#12", true), ("a#", false), ("a#1b", false), ("a", false)] {
            assert_eq!(is_unfinished(OsStr::new(name)), expected, "{name}");
        }
    }
}
