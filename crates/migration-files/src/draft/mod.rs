//! Statements that make one schema of another, drafted from what their catalogs say. For somebody to read and finish: what can't
//! be drafted is a comment that names it.

mod column;
mod function;
mod grant;
mod other;
mod table;
mod words;

use std::collections::BTreeMap;

use rowhouse_migrations::{Difference, Fingerprint, difference};

/// A schema as its catalog has it.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// Its objects.
    pub fingerprint: Fingerprint,
    /// The statements that make its functions, by their names in the fingerprint.
    pub functions: BTreeMap<String, String>,
}

/// What stands above each difference that somebody has to write a statement for.
pub const NOT_DRAFTED: &str = "-- Not drafted:";

/// When a statement's turn is: what depends on others goes before they do, and comes after they have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    DropUser,
    DropView,
    DropEarlyFunction,
    DropIndex,
    DropReference,
    DropConstraint,
    Revoke,
    DropColumn,
    DropTable,
    DropFunction,
    DropType,
    Type,
    Sequence,
    Function,
    Table,
    Column,
    /// One that speaks of a new table.
    LateFunction,
    Constraint,
    Reference,
    Index,
    View,
    User,
    Grant,
}

struct Draft<'a> {
    from: &'a Drawn,
    to: &'a Drawn,
    statements: Vec<(Turn, String)>,
    /// What somebody has to write.
    left: Vec<&'a Difference>,
}

/// Drafts what makes `to` of `from`. Empty where they are the same.
pub fn draft(from: &Drawn, to: &Drawn) -> String {
    let differences = difference(&from.fingerprint, &to.fingerprint);
    let mut draft = Draft { from, to, statements: Vec::new(), left: Vec::new() };
    for one in &differences {
        if !draft.take(one) {
            draft.left.push(one);
        }
    }
    draft.functions(&differences.iter().filter(|one| one.kind == "function").collect::<Vec<_>>());
    draft.write()
}

impl<'a> Draft<'a> {
    /// Whether a difference could be drafted.
    fn take(&mut self, one: &'a Difference) -> bool {
        match one.kind.as_str() {
            "table" => self.table(one),
            "column" => self.column(one),
            "constraint" => self.constraint(one),
            "index" => self.index(one),
            "policy" => self.policy(one),
            "trigger" => self.trigger(one),
            "rule" => self.rule(one),
            "view" => self.view(one),
            "sequence" => self.sequence(one),
            // All at once, as some of them use others.
            "function" => true,
            "type" => self.enumeration(one),
            "statistics" => self.statistics(one),
            "grant" => self.grant(one),
            _ => false,
        }
    }

    fn say(&mut self, turn: Turn, statement: impl Into<String>) -> bool {
        self.statements.push((turn, statement.into()));
        true
    }

    /// The objects of a kind that belong to a table, by their names within it.
    fn parts(of: &'a Drawn, kind: &'a str, table: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        of.fingerprint.entries.iter().filter(move |entry| entry.kind == kind).filter_map(move |entry| {
            let (owner, name) = entry.name.split_once('.')?;
            (owner == table).then_some((name, entry.definition.as_str()))
        })
    }

    /// Whether a schema has an object.
    fn has(of: &Drawn, kind: &str, name: &str) -> bool {
        of.fingerprint.entries.iter().any(|entry| entry.kind == kind && entry.name == name)
    }

    fn write(mut self) -> String {
        self.statements.sort_by_key(|(turn, _)| *turn);
        let mut text = String::new();
        for (_, statement) in &self.statements {
            text.push_str(statement.trim_end().trim_end_matches(';'));
            text.push_str(";\n");
        }
        for one in &self.left {
            text.push_str(NOT_DRAFTED);
            text.push('\n');
            for line in one.to_string().lines() {
                text.push_str("--     ");
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}
