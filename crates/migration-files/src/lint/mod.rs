//! What in a migration would hurt those who are being served, or the next one to read it, each with the safe way.
//!
//! squawk's rules as far as they fit (migrations run in a transaction with limits that the runner sets), and our own.

mod facts;
mod house;
mod squawk;

use rowhouse_migrations::{Allowance, Kind, Migrations, Set, UndoKind};
use serde::Serialize;
use squawk_syntax::{Parse, SourceFile};

/// Something that a migration should not do, or not this way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `tenant` or `platform`.
    pub set: &'static str,
    /// The migration's number.
    pub version: u32,
    /// The file below the set's folder.
    pub file: String,
    /// Counted from one.
    pub line: usize,
    /// The rule, as `-- rowhouse: allow <rule> <reason>` has it.
    pub rule: String,
    /// What is wrong.
    pub message: String,
    /// What to do instead.
    pub safe_way: String,
}

/// A file and what it is to do.
struct Source<'a> {
    set: Set,
    version: u32,
    file: String,
    sql: &'a str,
    allowances: &'a [Allowance],
    role: Role<'a>,
    tree: Parse<SourceFile>,
}

/// Which of the pair a file is.
enum Role<'a> {
    Forward { kind: &'a Kind, has_undo: bool },
    Undo(&'a UndoKind),
}

/// All findings of a set, in the order of its files, without those that a file allows itself.
pub fn lint(migrations: &Migrations) -> Vec<Finding> {
    let mut findings = Vec::new();
    for migration in migrations.list() {
        let source = |file, sql, allowances, role| Source {
            set: migrations.set(),
            version: migration.version,
            file,
            sql,
            allowances,
            role,
            tree: SourceFile::parse(sql),
        };
        let role = Role::Forward { kind: &migration.kind, has_undo: migration.undo.is_some() };
        findings.extend(source(format!("{migration}.sql"), migration.sql(), &migration.allowances, role).lint());
        if let Some(undo) = &migration.undo {
            let file = format!("undo/{}__{}.sql", migration.version, migration.name);
            findings.extend(source(file, &undo.sql, &undo.allowances, Role::Undo(&undo.kind)).lint());
        }
    }
    findings
}

impl Source<'_> {
    fn lint(&self) -> Vec<Finding> {
        let mut found = squawk::findings(self);
        found.extend(house::findings(self));
        let is_used = |allowance: &Allowance| found.iter().any(|finding| finding.rule == allowance.rule);
        let unused: Vec<Finding> = self
            .allowances
            .iter()
            .filter(|allowance| !is_used(allowance))
            .map(|allowance| {
                let message = format!("`{}` is allowed here, and nothing breaks it", allowance.rule);
                self.finding(0, "unused-allowance", message, "Remove the line, or correct the rule's name.")
            })
            .collect();
        found.retain(|finding| self.allowances.iter().all(|allowance| allowance.rule != finding.rule));
        found.extend(unused);
        found.sort_by_key(|finding| finding.line);
        found
    }

    fn finding(&self, offset: usize, rule: &str, message: String, safe_way: &str) -> Finding {
        let line = self.sql.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        Finding {
            set: self.set.as_str(),
            version: self.version,
            file: self.file.clone(),
            line,
            rule: rule.to_owned(),
            message,
            safe_way: safe_way.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
