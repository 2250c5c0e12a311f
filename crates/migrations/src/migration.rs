//! The migrations of a set, read from files: what refinery knows of them, and what we say in directives and undo files.

use std::path::Path;

use crate::Set;
use crate::concurrently::{self, ConcurrentIndex};
use crate::directive::{self, Allowance, Kind, UndoKind};

/// One step of a schema.
#[derive(Debug, Clone)]
pub struct Migration {
    /// Its number; they count from 1 without gaps.
    pub version: u32,
    /// Its name, `customers` in `V1__customers.sql`.
    pub name: String,
    /// How it is applied.
    pub kind: Kind,
    /// Rules of the linter that it breaks knowingly.
    pub allowances: Vec<Allowance>,
    /// How it is taken back; none where there is no undo file.
    pub undo: Option<Undo>,
    pub(crate) index: Option<ConcurrentIndex>,
    /// As refinery has it: its text and its checksum.
    pub(crate) inner: refinery::Migration,
}

/// What takes a migration back.
#[derive(Debug, Clone)]
pub struct Undo {
    /// How it is done, if at all.
    pub kind: UndoKind,
    /// Rules of the linter that it breaks knowingly.
    pub allowances: Vec<Allowance>,
    /// Its text.
    pub sql: String,
}

/// A set's migrations in their order.
#[derive(Debug, Clone)]
pub struct Migrations {
    set: Set,
    list: Vec<Migration>,
}

/// Why files are no set of migrations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {detail}")]
pub struct InvalidSet {
    /// Which file, or the folder.
    pub file: String,
    /// What is wrong with it.
    pub detail: String,
}

/// A file's name without its ending, and its text.
pub(crate) type File = (String, String);

impl std::fmt::Display for Migration {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "V{}__{}", self.version, self.name)
    }
}

impl Migration {
    /// Its text.
    pub fn sql(&self) -> &str {
        self.inner.sql().unwrap_or_default()
    }

    /// What the history keeps of its name and text.
    pub fn checksum(&self) -> u64 {
        self.inner.checksum()
    }

    /// Its number as the history table has it.
    pub(crate) fn number(&self) -> refinery::SchemaVersion {
        self.inner.version()
    }
}

impl Migrations {
    /// Reads `V<n>__<name>.sql` and `undo/<n>__<name>.sql` from a folder.
    ///
    /// # Errors
    /// Where the folder can't be read, a name or a directive is wrong, or a number is missing.
    pub fn read(set: Set, folder: &Path) -> Result<Self, InvalidSet> {
        let forward = sql_files(folder)?;
        let undo = folder.join("undo");
        Self::parse(set, forward, if undo.is_dir() { sql_files(&undo)? } else { Vec::new() })
    }

    /// The same from names without `.sql` and texts.
    pub(crate) fn parse(set: Set, forward: Vec<File>, undo: Vec<File>) -> Result<Self, InvalidSet> {
        let mut list = forward.into_iter().map(forward_file).collect::<Result<Vec<_>, _>>()?;
        list.sort_by_key(|migration| migration.version);
        for (index, migration) in list.iter().enumerate() {
            let expected = index + 1;
            if migration.version as usize != expected {
                let detail = format!("numbers count from 1 without gaps, so it should be V{expected}");
                return Err(InvalidSet { file: migration.to_string(), detail });
            }
        }
        for (stem, sql) in undo {
            let invalid = |detail: String| InvalidSet { file: format!("undo/{stem}"), detail };
            let (version, name) = number_and_name(&stem).ok_or_else(|| invalid(BAD_UNDO_NAME.to_owned()))?;
            let (kind, allowances) = directive::of_undo(&sql).map_err(|error| invalid(error.to_string()))?;
            let migration = list
                .iter_mut()
                .find(|migration| migration.version == version && migration.name == name)
                .ok_or_else(|| invalid("there is no migration of this number and name".to_owned()))?;
            migration.undo = Some(Undo { kind, allowances, sql });
        }
        Ok(Self { set, list })
    }

    /// Which of the two sets they are.
    pub const fn set(&self) -> Set {
        self.set
    }

    /// All of them in their order.
    pub fn list(&self) -> &[Migration] {
        &self.list
    }

    /// One by its number.
    pub fn find(&self, version: u32) -> Option<&Migration> {
        self.list.get(usize::try_from(version).ok()?.checked_sub(1)?)
    }

    /// The number of the newest one; 0 where there is none.
    pub fn latest(&self) -> u32 {
        self.list.last().map_or(0, |migration| migration.version)
    }

    /// Tells the first `version` migrations from all others: what they are made of, in hexadecimal.
    pub fn checksum(&self, version: u32) -> String {
        let parts = self.list.iter().filter(|migration| migration.version <= version).map(Migration::checksum);
        // Each migration's own checksum is 64 bits of its name and text; a collision would need an ill-meaning author.
        let combined = parts.fold(0u64, |all, one| all.rotate_left(7).wrapping_mul(0x0100_0000_01b3) ^ one);
        format!("{combined:016x}")
    }
}

const BAD_NAME: &str = "a migration is called V<number>__<name>.sql, the name of letters, digits and underscores";
const BAD_UNDO_NAME: &str = "an undo file is called <number>__<name>.sql";

fn forward_file((stem, sql): File) -> Result<Migration, InvalidSet> {
    let invalid = |detail: String| InvalidSet { file: stem.clone(), detail };
    let (version, name) =
        stem.strip_prefix('V').and_then(number_and_name).ok_or_else(|| invalid(BAD_NAME.to_owned()))?;
    let (kind, allowances) = directive::of_migration(&sql).map_err(|error| invalid(error.to_string()))?;
    let index = match kind {
        Kind::NoTransaction => concurrently::made_by(&sql).map_err(&invalid)?,
        Kind::Transactional | Kind::Backfill(_) => None,
    };
    let inner = refinery::Migration::unapplied(&stem, &sql).map_err(|error| invalid(error.to_string()))?;
    Ok(Migration { version, name, kind, allowances, undo: None, index, inner })
}

fn number_and_name(stem: &str) -> Option<(u32, String)> {
    let (number, name) = stem.split_once("__")?;
    let is_plain = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    // The history table holds signed numbers.
    let number = number.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok())?;
    is_plain.then(|| (number, name.to_owned()))
}

fn sql_files(folder: &Path) -> Result<Vec<File>, InvalidSet> {
    let invalid =
        |path: &Path, error: std::io::Error| InvalidSet { file: path.display().to_string(), detail: error.to_string() };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| invalid(folder, error))? {
        let path = entry.map_err(|error| invalid(folder, error))?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            let text = std::fs::read_to_string(&path).map_err(|error| invalid(&path, error))?;
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            files.push((stem, text));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, sql: &str) -> File {
        (name.to_owned(), sql.to_owned())
    }

    #[test]
    fn files_make_a_set_in_the_order_of_their_numbers() {
        let forward = (1..=10).rev().map(|number| file(&format!("V{number}__step"), "select 1;")).collect();
        let undo = vec![file("10__step", "-- rowhouse: irreversible because"), file("2__step", "select 2;")];
        let set = Migrations::parse(Set::Tenant, forward, undo).expect("valid");
        assert_eq!(set.latest(), 10);
        let last = set.find(10).expect("there are ten");
        assert_eq!(last.to_string(), "V10__step");
        assert_eq!(last.undo.as_ref().map(|undo| &undo.kind), Some(&UndoKind::Irreversible("because".to_owned())));
        assert!(
            set.find(0).is_none() && set.find(11).is_none() && set.find(3).is_some_and(|third| third.undo.is_none())
        );
    }

    #[test]
    fn what_is_no_set_is_refused_by_the_name_of_its_file() {
        let check = |forward: &[(&str, &str)], undo: &[(&str, &str)], part: &str| {
            let files = |list: &[(&str, &str)]| list.iter().map(|(name, sql)| file(name, sql)).collect();
            let error = Migrations::parse(Set::Tenant, files(forward), files(undo)).expect_err(part);
            assert!(error.to_string().contains(part), "{error}");
        };
        check(&[("V2__a", "")], &[], "V2__a: numbers count from 1 without gaps, so it should be V1");
        check(&[("V1__a", ""), ("V1__b", "")], &[], "so it should be V2");
        check(&[("U1__a", "")], &[], "U1__a: a migration is called");
        check(&[("V1__a-b", "")], &[], "V1__a-b: a migration is called");
        check(&[("V1__a", "-- rowhouse: no")], &[], "V1__a: line 1: unknown directive `no`");
        check(&[("V1__a", "")], &[("1__b", "")], "undo/1__b: there is no migration");
        check(&[("V1__a", "")], &[("V1__a", "")], "undo/V1__a: an undo file is called");
        check(
            &[("V1__a", "-- rowhouse: no-transaction\ncreate index concurrently on a (b);")],
            &[],
            "V1__a: an index made concurrently needs a name",
        );
    }
}
