//! What bringing a schema on, or taking it back, would send, and what the linter says of it.

use rowhouse_migrations::{Error, Kind, Migration, Migrations, UndoKind};
use serde::Serialize;

use crate::{Finding, lint};

/// A migration that would be applied or taken back.
#[derive(Debug, Clone, Serialize)]
pub struct Planned {
    /// Its number.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// `transactional`, `no-transaction` or `backfill`.
    pub kind: &'static str,
    /// What would be sent: the migration's text, or what takes it back.
    pub sql: String,
    /// What the linter says of it.
    pub warnings: Vec<Finding>,
}

/// What leads from one version to another, forward or back, in its order. All files are parsed for it.
///
/// # Errors
/// Where there is no way back.
pub fn plan(migrations: &Migrations, from: u32, to: u32) -> Result<Vec<Planned>, Error> {
    let findings = lint(migrations);
    let between =
        |least: u32, most: u32| migrations.list().iter().filter(move |one| (least + 1..=most).contains(&one.version));
    if to >= from {
        return Ok(between(from, to).map(|one| forward(one, &findings)).collect());
    }
    between(to, from).rev().map(|one| backward(one, &findings)).collect()
}

fn forward(migration: &Migration, findings: &[Finding]) -> Planned {
    let kind = match migration.kind {
        Kind::Transactional => "transactional",
        Kind::NoTransaction => "no-transaction",
        Kind::Backfill(_) => "backfill",
    };
    planned(migration, kind, migration.sql(), &format!("{migration}.sql"), findings)
}

fn backward(migration: &Migration, findings: &[Finding]) -> Result<Planned, Error> {
    let undo = migration.way_back()?;
    let kind = if undo.kind == UndoKind::NoTransaction { "no-transaction" } else { "transactional" };
    let file = format!("undo/{}__{}.sql", migration.version, migration.name);
    Ok(planned(migration, kind, &undo.sql, &file, findings))
}

fn planned(migration: &Migration, kind: &'static str, sql: &str, file: &str, findings: &[Finding]) -> Planned {
    Planned {
        version: migration.version,
        name: migration.name.clone(),
        kind,
        sql: sql.to_owned(),
        warnings: findings.iter().filter(|finding| finding.file == file).cloned().collect(),
    }
}
