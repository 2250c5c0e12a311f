//! Who may do what.

use std::collections::BTreeSet;

use rowhouse_migrations::Difference;

use super::words::{ident, owned};
use super::{Draft, Turn};

/// Has all rights on what it owns.
const OWNER: &str = "rowhouse_owner";

impl<'a> Draft<'a> {
    pub(super) fn grant(&mut self, one: &'a Difference) -> bool {
        let Some((kind, rest)) = one.name.split_once(' ') else { return false };
        let Some((object, role)) = rest.rsplit_once(" to ") else { return false };
        let is_there = |of| match kind {
            "table" => Self::has(of, "table", object) || Self::has(of, "view", object),
            other => Self::has(of, other, object),
        };
        // With what goes they go, and with what comes they are looked at.
        if !is_there(self.to) || !is_there(self.from) || self.comes_along(kind, object) {
            return true;
        }
        let privileges = |text: &'a Option<String>| -> BTreeSet<&'a str> {
            text.as_deref().into_iter().flat_map(|text| text.split(", ")).collect()
        };
        let (old, new) = (privileges(&one.expected), privileges(&one.found));
        if role.starts_with('{') || old.union(&new).any(|privilege| privilege.ends_with("with grant option")) {
            return false;
        }
        let gone: Vec<&str> = old.difference(&new).copied().collect();
        let come: Vec<&str> = new.difference(&old).copied().collect();
        if !gone.is_empty() {
            let statement = format!("revoke {} from {}", on(kind, object, &gone), role_name(role));
            self.say(Turn::Revoke, statement);
        }
        if !come.is_empty() {
            self.say(Turn::Grant, format!("grant {} to {}", on(kind, object, &come), role_name(role)));
        }
        true
    }

    /// Whether an object is an identity column's, which has it made.
    fn comes_along(&self, kind: &str, object: &str) -> bool {
        kind == "column" && !Self::has(self.from, "column", object)
    }

    /// The rights on something new, which begins with those that PostgreSQL gives.
    pub(super) fn grants_of_new(&mut self, kind: &'a str, object: &'a str) {
        let begin = format!("{kind} {object} to ");
        let grants: Vec<(&str, &str)> = self
            .to
            .fingerprint
            .entries
            .iter()
            .filter(|entry| entry.kind == "grant")
            .filter_map(|entry| Some((entry.name.strip_prefix(&begin)?, entry.definition.as_str())))
            .collect();
        let is_given_to_all = matches!(kind, "function" | "type");
        if is_given_to_all && !grants.iter().any(|(role, _)| *role == "public") {
            self.say(Turn::Grant, format!("revoke all on {kind} {} from public", named(kind, object)));
        }
        for (role, privileges) in grants {
            if role != OWNER && !role.starts_with('{') && !(is_given_to_all && role == "public") {
                let privileges: Vec<&str> = privileges.split(", ").collect();
                self.say(Turn::Grant, format!("grant {} to {}", on(kind, object, &privileges), role_name(role)));
            }
        }
        if kind == "table" {
            let columns = self.to.fingerprint.entries.iter().filter(|entry| entry.kind == "grant");
            let of_columns: Vec<(&str, &str)> = columns
                .filter_map(|entry| Some((entry.name.strip_prefix("column ")?, entry.definition.as_str())))
                .filter(|(name, _)| name.split_once('.').is_some_and(|(table, _)| table == object))
                .collect();
            for (name, privileges) in of_columns {
                if let Some((column, role)) = name.rsplit_once(" to ") {
                    let privileges: Vec<&str> = privileges.split(", ").collect();
                    self.say(
                        Turn::Grant,
                        format!("grant {} to {}", on("column", column, &privileges), role_name(role)),
                    );
                }
            }
        }
    }
}

fn named(kind: &str, object: &str) -> String {
    // A function comes with its arguments, as the catalog writes them.
    if kind == "function" { object.to_owned() } else { ident(object) }
}

fn role_name(role: &str) -> String {
    if role == "public" { role.to_owned() } else { ident(role) }
}

/// `select, insert on table files`.
fn on(kind: &str, object: &str, privileges: &[&str]) -> String {
    let privileges: Vec<String> = privileges.iter().map(|privilege| privilege.to_lowercase()).collect();
    if kind == "column"
        && let Some((table, column)) = owned(object)
    {
        let listed: Vec<String> = privileges.iter().map(|privilege| format!("{privilege} ({column})")).collect();
        return format!("{} on {table}", listed.join(", "));
    }
    format!("{} on {kind} {}", privileges.join(", "), named(kind, object))
}
