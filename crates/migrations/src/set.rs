//! What migrations there are. Known when the program is built.

/// One of the two sets; they never mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Set {
    /// For `saas_platform`.
    Platform,
    /// For every tenant's database or schema.
    Tenant,
}

/// A migration of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its number; they count from 1 without gaps.
    pub version: u32,
    /// Its name, `customers` in `V1__customers.sql`.
    pub name: String,
}

impl std::fmt::Display for Migration {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "V{}__{}", self.version, self.name)
    }
}

struct UndoFile {
    version: u32,
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with the migration's"))]
    name: &'static str,
    sql: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/undo.rs"));

mod platform {
    refinery::embed_migrations!("../../platform-migrations");
}

mod tenant {
    refinery::embed_migrations!("../../tenant-migrations");
}

impl Set {
    /// How the set is called in logs and lock keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Tenant => "tenant",
        }
    }

    /// The set's migrations in their order.
    pub fn list(self) -> Vec<Migration> {
        let mut list: Vec<Migration> = self.runner().get_migrations().iter().map(Migration::of).collect();
        list.sort_by_key(|migration| migration.version);
        list
    }

    /// The number of the newest migration.
    pub fn latest(self) -> u32 {
        self.runner().get_migrations().iter().map(|migration| Migration::of(migration).version).max().unwrap_or(0)
    }

    /// Tells the set's first `version` migrations from all others: what it is made of, in hexadecimal.
    pub fn checksum(self, version: u32) -> String {
        let runner = self.runner();
        let mut parts: Vec<(u32, u64)> = runner
            .get_migrations()
            .iter()
            .map(|migration| (Migration::of(migration).version, migration.checksum()))
            .filter(|(number, _)| *number <= version)
            .collect();
        parts.sort_unstable();
        // Each migration's own checksum is 64 bits of its name and text; a collision would need an ill-meaning author.
        let combined = parts.iter().fold(0u64, |all, (_, one)| all.rotate_left(7).wrapping_mul(0x0100_0000_01b3) ^ one);
        format!("{combined:016x}")
    }

    /// The SQL that takes migration `version` back; none where there is no such migration.
    pub fn undo_sql(self, version: u32) -> Option<&'static str> {
        self.undo_files().iter().find(|file| file.version == version).map(|file| file.sql)
    }

    const fn undo_files(self) -> &'static [UndoFile] {
        match self {
            Self::Platform => PLATFORM_UNDO,
            Self::Tenant => TENANT_UNDO,
        }
    }

    pub(crate) fn runner(self) -> refinery::Runner {
        match self {
            Self::Platform => platform::migrations::runner(),
            Self::Tenant => tenant::migrations::runner(),
        }
    }
}

impl Migration {
    pub(crate) fn of(migration: &refinery::Migration) -> Self {
        // Negative numbers can't be written in a file name.
        Self { version: u32::try_from(migration.version()).unwrap_or(0), name: migration.name().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_is_versioned_counted_from_one_and_can_be_undone() {
        for set in [Set::Platform, Set::Tenant] {
            let list = set.list();
            assert!(!list.is_empty(), "{} has no migrations", set.as_str());
            for migration in set.runner().get_migrations() {
                assert_eq!(migration.prefix().to_string(), "V", "{migration}");
            }
            let versions: Vec<u32> = list.iter().map(|migration| migration.version).collect();
            assert_eq!(versions, (1..=set.latest()).collect::<Vec<_>>(), "{}", set.as_str());
            let undo: Vec<(u32, &str)> = set.undo_files().iter().map(|file| (file.version, file.name)).collect();
            let forward: Vec<(u32, &str)> =
                list.iter().map(|migration| (migration.version, migration.name.as_str())).collect();
            assert_eq!(undo, forward, "{}", set.as_str());
        }
    }

    #[test]
    fn tenant_migrations_name_no_schema_and_no_extension() {
        for migration in Set::Tenant.runner().get_migrations() {
            let sql = migration.sql().unwrap_or_default();
            let code: String =
                sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n");
            for forbidden in ["create extension", "public.", "extensions.", "search_path =", "as enum", "on schema"] {
                assert!(!code.to_lowercase().contains(forbidden), "{migration} says `{forbidden}`");
            }
        }
    }
}
