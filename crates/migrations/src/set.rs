//! Which sets there are. Both are known when the program is built.

use std::sync::LazyLock;

use crate::migration::Migrations;

/// One of the two sets; they never mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Set {
    /// For `saas_platform`.
    Platform,
    /// For every tenant's database or schema.
    Tenant,
}

/// An undo file: its name without `.sql`, and its text.
type UndoFile = (&'static str, &'static str);

include!(concat!(env!("OUT_DIR"), "/undo.rs"));

mod platform {
    refinery::embed_migrations!("../../platform-migrations");
}

mod tenant {
    refinery::embed_migrations!("../../tenant-migrations");
}

static PLATFORM: LazyLock<Migrations> =
    LazyLock::new(|| embedded(Set::Platform, &platform::migrations::runner(), PLATFORM_UNDO));
static TENANT: LazyLock<Migrations> =
    LazyLock::new(|| embedded(Set::Tenant, &tenant::migrations::runner(), TENANT_UNDO));

fn embedded(set: Set, runner: &refinery::Runner, undo: &[UndoFile]) -> Migrations {
    let forward = runner
        .get_migrations()
        .iter()
        .map(|migration| (migration.to_string(), migration.sql().unwrap_or_default().to_owned()))
        .collect();
    let undo = undo.iter().map(|(stem, sql)| ((*stem).to_owned(), (*sql).to_owned())).collect();
    Migrations::parse(set, forward, undo).expect("a test has read both sets before a build is let out")
}

impl Set {
    /// How the set is called in logs and lock keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Tenant => "tenant",
        }
    }

    /// The set as this program has it.
    pub fn migrations(self) -> &'static Migrations {
        match self {
            Self::Platform => &PLATFORM,
            Self::Tenant => &TENANT,
        }
    }

    /// The number of this program's newest migration.
    pub fn latest(self) -> u32 {
        self.migrations().latest()
    }

    /// Tells this program's first `version` migrations from all others.
    pub fn checksum(self, version: u32) -> String {
        self.migrations().checksum(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UndoKind;

    #[test]
    fn every_migration_can_be_undone_or_says_why_not() {
        for set in [Set::Platform, Set::Tenant] {
            assert!(!set.migrations().list().is_empty(), "{} has no migrations", set.as_str());
            for migration in set.migrations().list() {
                assert_eq!(migration.inner.prefix().to_string(), "V", "{migration}");
                let undo = migration.undo.as_ref().unwrap_or_else(|| panic!("{migration} has no undo file"));
                assert!(undo.kind == UndoKind::Transactional || !undo.sql.is_empty(), "{migration}");
            }
        }
    }

    #[test]
    fn tenant_migrations_name_no_schema_and_no_extension() {
        for migration in Set::Tenant.migrations().list() {
            let code: String = migration
                .sql()
                .lines()
                .filter(|line| !line.trim_start().starts_with("--"))
                .collect::<Vec<_>>()
                .join("\n");
            for forbidden in ["create extension", "public.", "extensions.", "search_path =", "as enum", "on schema"] {
                assert!(!code.to_lowercase().contains(forbidden), "{migration} says `{forbidden}`");
            }
        }
    }
}
