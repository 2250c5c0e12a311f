//! Everything that is neither a table, nor one of its columns, nor a grant.

use rowhouse_migrations::Difference;

use super::column::Column;
use super::words::{ident, owned};
use super::{Draft, Turn};

impl<'a> Draft<'a> {
    pub(super) fn index(&mut self, one: &'a Difference) -> bool {
        // Not valid, or of a replica's identity: nothing that one statement says.
        if one.found.as_ref().is_some_and(|found| found.contains("; ")) {
            return false;
        }
        // It goes with its table.
        let table = |definition: &str| {
            definition.split(" ON ").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned)
        };
        if let Some(old) = &one.expected
            && table(old).is_some_and(|table| Self::has(self.to, "table", &table))
        {
            self.say(Turn::DropIndex, format!("drop index {}", ident(&one.name)));
        }
        if let Some(new) = &one.found {
            self.say(Turn::Index, new);
        }
        true
    }

    pub(super) fn policy(&mut self, one: &'a Difference) -> bool {
        let Some((table, name)) = owned(&one.name) else { return false };
        if one.expected.is_some() {
            self.say(Turn::DropUser, format!("drop policy {name} on {table}"));
        }
        if let Some(new) = &one.found {
            self.say(Turn::User, format!("create policy {name} on {table} as {new}"));
        }
        true
    }

    pub(super) fn trigger(&mut self, one: &'a Difference) -> bool {
        self.written("trigger", one)
    }

    pub(super) fn rule(&mut self, one: &'a Difference) -> bool {
        self.written("rule", one)
    }

    /// What the catalog has as a statement.
    fn written(&mut self, kind: &str, one: &'a Difference) -> bool {
        let Some((table, name)) = owned(&one.name) else { return false };
        if one.found.as_ref().is_some_and(|new| new.ends_with("; disabled") || new.contains("; fires ")) {
            return false;
        }
        if one.expected.is_some() {
            self.say(Turn::DropUser, format!("drop {kind} {name} on {table}"));
        }
        if let Some(new) = &one.found {
            self.say(Turn::User, new);
        }
        true
    }

    pub(super) fn statistics(&mut self, one: &'a Difference) -> bool {
        if one.expected.is_some() {
            self.say(Turn::DropIndex, format!("drop statistics {}", ident(&one.name)));
        }
        if let Some(new) = &one.found {
            self.say(Turn::Index, new);
        }
        true
    }

    pub(super) fn view(&mut self, one: &'a Difference) -> bool {
        let name = ident(&one.name);
        let Some(found) = &one.found else {
            let is_materialized = one.expected.as_ref().is_some_and(|old| old.starts_with("materialized"));
            let kind = if is_materialized { "materialized view" } else { "view" };
            return self.say(Turn::DropView, format!("drop {kind} {name}"));
        };
        let Some(rest) = found.strip_prefix("owner rowhouse_owner; ") else { return false };
        let (options, query) = match rest.strip_prefix("with ").and_then(|rest| rest.split_once("; ")) {
            Some((options, query)) => (format!(" with ({options})"), query),
            None => (String::new(), rest),
        };
        self.say(Turn::View, format!("create or replace view {name}{options} as\n{query}"));
        if one.expected.is_none() {
            self.grants_of_new("table", &one.name);
        }
        true
    }

    pub(super) fn sequence(&mut self, one: &'a Difference) -> bool {
        let (drawn, definition) = match (&one.expected, &one.found) {
            (Some(old), None) => (self.from, old),
            (None, Some(new)) => (self.to, new),
            (Some(_), Some(_)) | (None, None) => return false,
        };
        let owner = definition.rsplit_once("; of ").map(|(_, column)| column);
        // An identity column brings its own, and takes it along.
        let column = owner.and_then(|owner| {
            drawn.fingerprint.entries.iter().find(|entry| entry.kind == "column" && entry.name == owner)
        });
        if column.is_some_and(|column| Column::read(&column.definition).is_identity()) {
            return true;
        }
        let name = ident(&one.name);
        if one.found.is_none() {
            let goes_along = owner.is_some_and(|owner| !Self::has(self.to, "column", owner));
            return goes_along || self.say(Turn::DropTable, format!("drop sequence {name}"));
        }
        let words: Vec<&str> = definition.split("; ").next().unwrap_or_default().split(' ').collect();
        let [data_type, "start", start, "increment", step, "from", least, "to", most, "cache", cache] =
            words.as_slice()
        else {
            return false;
        };
        let cycle = if definition.contains("; cycles") { " cycle" } else { "" };
        self.say(
            Turn::Sequence,
            format!(
                "create sequence {name} as {data_type} start {start} increment {step} minvalue {least} maxvalue {most} \
                 cache {cache}{cycle}"
            ),
        );
        if let Some((table, column)) = owner.and_then(owned) {
            self.say(Turn::Constraint, format!("alter sequence {name} owned by {table}.{column}"));
        }
        self.grants_of_new("sequence", &one.name);
        true
    }

    /// Of types, those that list their values.
    pub(super) fn enumeration(&mut self, one: &'a Difference) -> bool {
        const OWNER: &str = ") owner rowhouse_owner";
        let values = |definition: &'a str| definition.strip_prefix("enum (").and_then(|rest| rest.strip_suffix(OWNER));
        let name = ident(&one.name);
        let (old, new) = match (one.expected.as_deref(), one.found.as_deref()) {
            (Some(_), None) => return self.say(Turn::DropType, format!("drop type {name}")),
            (None, Some(new)) => {
                let Some(values) = values(new) else { return false };
                self.say(Turn::Type, format!("create type {name} as enum ({values})"));
                self.grants_of_new("type", &one.name);
                return true;
            }
            (Some(old), Some(new)) => (values(old), values(new)),
            (None, None) => return false,
        };
        let (Some(old), Some(new)) = (old, new) else { return false };
        let (old, new): (Vec<&str>, Vec<&str>) = (old.split(", ").collect(), new.split(", ").collect());
        let kept: Vec<&str> = new.iter().copied().filter(|value| old.contains(value)).collect();
        // A value can be added, and never be taken away or moved.
        if kept != old {
            return false;
        }
        for (index, value) in new.iter().enumerate().filter(|(_, value)| !old.contains(value)) {
            let place = match index.checked_sub(1) {
                Some(before) => format!("after {}", new[before]),
                None => format!("before {}", old.first().unwrap_or(value)),
            };
            self.say(Turn::Type, format!("alter type {name} add value {value} {place}"));
        }
        true
    }
}
