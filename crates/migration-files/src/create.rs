//! The next numbered pair of files, with the headings that ours have.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rowhouse_migrations::{InvalidSet, Migrations, Set};

use crate::folder;

/// The two files that were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its number.
    pub version: u32,
    /// The migration.
    pub forward: PathBuf,
    /// What takes it back.
    pub undo: PathBuf,
}

/// Why no files were made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a name as ours are.
    #[error("{name:?} is no name for a migration: lower-case words with underscores between them, at most 60 letters")]
    InvalidName {
        /// What was asked for.
        name: String,
    },
    /// Another migration is called so.
    #[error("there is {existing} already")]
    Exists {
        /// Which one.
        existing: String,
    },
    /// The files that are there are no set.
    #[error("the set is not in order")]
    Invalid(#[source] InvalidSet),
    /// A file can't be written.
    #[error("writing {}", path.display())]
    Write {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Makes `V<n>__<name>.sql` and `undo/<n>__<name>.sql` with the next number, both with `body` below their headings.
///
/// # Errors
/// Where the name is none or is taken, or a file can't be written. Then neither is there.
pub fn create(root: &Path, set: Set, name: &str, body: (&str, &str)) -> Result<Created, Error> {
    if !is_name(name) {
        return Err(Error::InvalidName { name: name.to_owned() });
    }
    let folder = folder(root, set);
    let migrations = Migrations::read(set, &folder).map_err(Error::Invalid)?;
    if let Some(existing) = migrations.list().iter().find(|migration| migration.name == name) {
        return Err(Error::Exists { existing: existing.to_string() });
    }
    let version = migrations.latest() + 1;
    let created = Created {
        version,
        forward: folder.join(format!("V{version}__{name}.sql")),
        undo: folder.join("undo").join(format!("{version}__{name}.sql")),
    };
    write_new(&created.undo, &format!("-- Undoes V{version}:\n{}", body.1))?;
    let heading = "-- Why:\n-- Locks:\n-- Earlier releases:\n\n";
    write_new(&created.forward, &format!("{heading}{}", body.0)).inspect_err(|_| {
        // One without the other would be a set that can't be read. It is ours: it was not there before.
        let _ = std::fs::remove_file(&created.undo);
    })?;
    Ok(created)
}

/// Never over a file that is there.
fn write_new(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = File::create_new(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// Also a part of a path: letters, digits and underscores, nothing else.
fn is_name(name: &str) -> bool {
    const MOST: usize = 60;
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    };
    name.len() <= MOST && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split('_').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder for a test");
        let folder = folder(root.path(), Set::Tenant);
        std::fs::create_dir_all(folder.join("undo")).expect("a folder for a test");
        std::fs::write(folder.join("V1__first.sql"), "select 1;").expect("a file for a test");
        std::fs::write(folder.join("undo/1__first.sql"), "select 1;").expect("a file for a test");
        root
    }

    #[test]
    fn the_next_pair_has_the_next_number_and_makes_a_set() {
        let root = repository();
        let second = create(root.path(), Set::Tenant, "add_labels", ("", "")).expect("made");
        assert_eq!(second.version, 2);
        assert!(second.forward.ends_with("tenant-migrations/V2__add_labels.sql"));
        assert!(second.undo.ends_with("tenant-migrations/undo/2__add_labels.sql"));
        let third = create(root.path(), Set::Tenant, "more", ("select 3;\n", "select -3;\n")).expect("made");
        let set = Migrations::read(Set::Tenant, &folder(root.path(), Set::Tenant)).expect("a set");
        assert_eq!((set.latest(), third.version), (3, 3));
        let migration = set.find(3).expect("the third");
        assert!(migration.sql().starts_with("-- Why:\n") && migration.sql().ends_with("select 3;\n"));
        assert_eq!(migration.undo.as_ref().map(|undo| undo.sql.as_str()), Some("-- Undoes V3:\nselect -3;\n"));
    }

    #[test]
    fn bad_names_and_taken_ones_make_nothing() {
        let root = repository();
        for name in ["", "Add", "add-labels", "../up", "add__labels", "_add", "add_", "1st", "a b", &"a".repeat(61)] {
            let error = create(root.path(), Set::Tenant, name, ("", "")).expect_err(name);
            assert!(matches!(error, Error::InvalidName { .. }), "{name}: {error}");
        }
        let taken = create(root.path(), Set::Tenant, "first", ("", "")).expect_err("taken");
        assert_eq!(taken.to_string(), "there is V1__first already");
        let left = std::fs::read_dir(folder(root.path(), Set::Tenant)).expect("the folder").count();
        assert_eq!(left, 2);
    }

    #[test]
    fn no_file_is_written_over() {
        let root = repository();
        // An undo file that belongs to nothing: the set can't be read, so it is not touched.
        let stray = folder(root.path(), Set::Tenant).join("undo/2__add_labels.sql");
        std::fs::write(&stray, "mine").expect("a file for a test");
        assert!(create(root.path(), Set::Tenant, "add_labels", ("", "")).is_err());
        assert_eq!(std::fs::read_to_string(&stray).expect("still there"), "mine");
    }
}
