//! Files that were released are frozen: a schema somewhere has them applied, and its history holds their checksum.
//!
//! `migrations.lock` at the root has a line for each, its SHA-256 and its path. An undo file is frozen with its migration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rowhouse_migrations::Set;
use sha2::{Digest, Sha256};

use crate::folder;

const LOCK: &str = "migrations.lock";
const HEADING: &str = "# Released migrations, frozen: `rowhouse migrate freeze` adds lines, nothing changes them.\n";

/// Why files could not be frozen or compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read or written.
    #[error("{}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line of the lock file is not a hash and a path.
    #[error("line {line} of {LOCK} is not a SHA-256 and a path")]
    Line {
        /// Counted from one.
        line: usize,
    },
    /// Frozen files are not what they were, so no others are frozen.
    #[error("frozen files have changed: {}", list(.0))]
    Changed(Vec<Change>),
}

/// A frozen file that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its path from the root.
    pub path: String,
    /// Its SHA-256 when it was frozen.
    pub frozen: String,
    /// Its SHA-256 now; none where it is gone.
    pub found: Option<String>,
}

/// Frozen files that have changed or are gone.
///
/// # Errors
/// Where the lock file or one of the files can't be read.
pub fn changed(root: &Path) -> Result<Vec<Change>, Error> {
    let found = files(root)?;
    let changed = frozen(root)?.into_iter().filter_map(|(path, frozen)| {
        let found = found.get(&path).cloned();
        (found.as_ref() != Some(&frozen)).then_some(Change { path, frozen, found })
    });
    Ok(changed.collect())
}

/// Freezes every file that is not yet, and gives their paths.
///
/// # Errors
/// Where a frozen file has changed, or a file can't be read or written.
pub fn freeze(root: &Path) -> Result<Vec<String>, Error> {
    let changes = changed(root)?;
    if !changes.is_empty() {
        return Err(Error::Changed(changes));
    }
    let frozen = frozen(root)?;
    let found = files(root)?;
    let mut text = HEADING.to_owned();
    for (path, hash) in &found {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{hash}  {path}");
    }
    let lock = root.join(LOCK);
    std::fs::write(&lock, text).map_err(|source| Error::File { path: lock, source })?;
    Ok(found.into_keys().filter(|path| !frozen.contains_key(path)).collect())
}

/// Path and hash of each line.
fn frozen(root: &Path) -> Result<BTreeMap<String, String>, Error> {
    let lock = root.join(LOCK);
    let text = match std::fs::read_to_string(&lock) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(Error::File { path: lock, source }),
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(index, line)| {
            let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|letter| letter.is_ascii_hexdigit());
            match line.split_once("  ") {
                Some((hash, path)) if is_hash(hash) => Ok((path.to_owned(), hash.to_owned())),
                _ => Err(Error::Line { line: index + 1 }),
            }
        })
        .collect()
}

/// Path and hash of each file of both sets.
fn files(root: &Path) -> Result<BTreeMap<String, String>, Error> {
    let mut files = BTreeMap::new();
    for set in [Set::Platform, Set::Tenant] {
        for folder in [folder(root, set), folder(root, set).join("undo")] {
            let failed = |path: &Path, source| Error::File { path: path.to_owned(), source };
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&folder, error)),
            };
            for entry in entries {
                let path = entry.map_err(|error| failed(&folder, error))?.path();
                if path.extension().is_some_and(|extension| extension == "sql") {
                    let content = std::fs::read(&path).map_err(|error| failed(&path, error))?;
                    let from_root = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                    files.insert(from_root, hex::encode(Sha256::digest(content)));
                }
            }
        }
    }
    Ok(files)
}

fn list(changes: &[Change]) -> String {
    changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for a test");
        std::fs::write(path, text).expect("a file for a test");
    }

    #[test]
    fn a_frozen_file_that_changes_or_goes_is_found() {
        let root = tempfile::tempdir().expect("a folder for a test");
        let root = root.path();
        write(root, "tenant-migrations/V1__a.sql", "select 1;");
        write(root, "tenant-migrations/undo/1__a.sql", "select 2;");
        write(root, "platform-migrations/V1__b.sql", "select 3;");
        assert_eq!(changed(root).expect("read"), [], "nothing is frozen yet");
        assert_eq!(freeze(root).expect("frozen").len(), 3);
        assert_eq!(changed(root).expect("read"), []);
        // New files are free until they are frozen too.
        write(root, "tenant-migrations/V2__c.sql", "select 4;");
        assert_eq!(changed(root).expect("read"), []);
        assert_eq!(freeze(root).expect("frozen"), ["tenant-migrations/V2__c.sql"]);
        write(root, "tenant-migrations/V1__a.sql", "select 1; ");
        std::fs::remove_file(root.join("tenant-migrations/undo/1__a.sql")).expect("it was there");
        let changes = changed(root).expect("read");
        let found: Vec<(&str, bool)> =
            changes.iter().map(|change| (change.path.as_str(), change.found.is_some())).collect();
        assert_eq!(found, [("tenant-migrations/V1__a.sql", true), ("tenant-migrations/undo/1__a.sql", false)]);
        // Freezing again is no way around it.
        let refused = freeze(root).expect_err("changed");
        assert!(refused.to_string().contains("tenant-migrations/V1__a.sql"), "{refused}");
        assert_eq!(changed(root).expect("read"), changes);
    }

    #[test]
    fn a_damaged_lock_file_is_an_error() {
        let root = tempfile::tempdir().expect("a folder for a test");
        write(root.path(), LOCK, "# Heading\nnot a hash  tenant-migrations/V1__a.sql\n");
        assert!(matches!(changed(root.path()), Err(Error::Line { line: 2 })));
    }
}
