//! Tables, and what is made with them.

use rowhouse_migrations::Difference;

use super::column::Column;
use super::words::{ident, owned};
use super::{Draft, Turn};

/// Columns that come first in tables of ours; the catalog's order is not known.
const FIRST: [&str; 2] = ["tenant_id", "id"];

/// A table's definition, taken apart.
struct Table<'a> {
    partitioned: Option<&'a str>,
    is_unlogged: bool,
    has_policies: bool,
    is_forced: bool,
    options: Option<&'a str>,
    /// What we can't say in a statement.
    odd: bool,
}

impl<'a> Table<'a> {
    fn read(definition: &'a str) -> Self {
        let mut table = Self {
            partitioned: None,
            is_unlogged: false,
            has_policies: false,
            is_forced: false,
            options: None,
            odd: false,
        };
        for part in definition.split("; ") {
            match part {
                "unlogged" => table.is_unlogged = true,
                "row-level security" => table.has_policies = true,
                "no row-level security" => {}
                "forced for the owner" => table.is_forced = true,
                "owner rowhouse_owner" => {}
                other if other.starts_with("partitioned ") => table.partitioned = other.strip_prefix("partitioned "),
                other if other.starts_with("with ") => table.options = other.strip_prefix("with "),
                _ => table.odd = true,
            }
        }
        table
    }
}

impl<'a> Draft<'a> {
    pub(super) fn table(&mut self, one: &'a Difference) -> bool {
        match (&one.expected, &one.found) {
            (Some(_), None) => self.say(Turn::DropTable, format!("drop table {}", ident(&one.name))),
            (None, Some(found)) => self.make(&one.name, &Table::read(found)),
            (Some(expected), Some(found)) => self.change(&one.name, &Table::read(expected), &Table::read(found)),
            (None, None) => false,
        }
    }

    fn make(&mut self, name: &'a str, table: &Table<'_>) -> bool {
        if table.odd {
            return false;
        }
        let mut columns: Vec<(&str, &str)> = Self::parts(self.to, "column", name).collect();
        columns.sort_by_key(|(column, _)| FIRST.iter().position(|first| first == column).unwrap_or(FIRST.len()));
        let mut lines: Vec<String> = columns
            .iter()
            .map(|(column, definition)| format!("{} {}", ident(column), Column::read(definition).defined()))
            .collect();
        let quoted = ident(name);
        for (constraint, definition) in Self::parts(self.to, "constraint", name) {
            let text = format!("constraint {} {definition}", ident(constraint));
            if definition.starts_with("FOREIGN KEY") {
                // Once the other table is there.
                self.say(Turn::Reference, format!("alter table {quoted} add {text}"));
            } else {
                lines.push(text);
            }
        }
        let unlogged = if table.is_unlogged { "unlogged " } else { "" };
        let partitioned = table.partitioned.map(|by| format!(" partition by {by}")).unwrap_or_default();
        let options = table.options.map(|options| format!(" with ({options})")).unwrap_or_default();
        let body = lines.join(",\n    ");
        self.say(Turn::Table, format!("create {unlogged}table {quoted} (\n    {body}\n){partitioned}{options}"));
        self.secure(&quoted, (false, false), (table.has_policies, table.is_forced));
        for (policy, definition) in Self::parts(self.to, "policy", name) {
            self.say(Turn::User, format!("create policy {} on {quoted} as {definition}", ident(policy)));
        }
        for (_, definition) in Self::parts(self.to, "trigger", name) {
            self.say(Turn::User, definition);
        }
        for (_, definition) in Self::parts(self.to, "rule", name) {
            self.say(Turn::User, definition);
        }
        self.grants_of_new("table", name);
        true
    }

    fn change(&mut self, name: &str, old: &Table<'_>, new: &Table<'_>) -> bool {
        let is_plain = !old.odd && !new.odd && old.options == new.options && old.partitioned == new.partitioned;
        if !is_plain || old.is_unlogged != new.is_unlogged {
            return false;
        }
        self.secure(&ident(name), (old.has_policies, old.is_forced), (new.has_policies, new.is_forced));
        true
    }

    /// Whether policies count, also for the owner.
    fn secure(&mut self, table: &str, old: (bool, bool), new: (bool, bool)) {
        if old.0 != new.0 {
            let word = if new.0 { "enable" } else { "disable" };
            self.say(Turn::User, format!("alter table {table} {word} row level security"));
        }
        if old.1 != new.1 {
            let word = if new.1 { "force" } else { "no force" };
            self.say(Turn::User, format!("alter table {table} {word} row level security"));
        }
    }

    pub(super) fn constraint(&mut self, one: &'a Difference) -> bool {
        let owner = one.name.split_once('.').map_or("", |(table, _)| table);
        let Some((table, name)) = owned(&one.name) else { return false };
        // Of a domain it is another statement.
        if !Self::has(self.to, "table", owner) {
            return false;
        }
        let is_reference = |definition: &str| definition.starts_with("FOREIGN KEY");
        if let Some(old) = &one.expected {
            let turn = if is_reference(old) { Turn::DropReference } else { Turn::DropConstraint };
            self.say(turn, format!("alter table {table} drop constraint {name}"));
        }
        if let Some(new) = &one.found {
            let turn = if is_reference(new) { Turn::Reference } else { Turn::Constraint };
            self.say(turn, format!("alter table {table} add constraint {name} {new}"));
        }
        true
    }
}
