//! Functions: which of them must be there before which.

use std::collections::{BTreeMap, BTreeSet};

use rowhouse_migrations::Difference;

use super::{Draft, Drawn, Turn};

/// The name of a function in a fingerprint, without its arguments.
fn bare(name: &str) -> &str {
    name.split('(').next().unwrap_or(name)
}

/// Each behind those that its statement speaks of.
fn ordered<'a>(all: &[&'a Difference], functions: &BTreeMap<String, String>) -> Vec<&'a Difference> {
    fn visit<'a>(
        one: &'a Difference,
        all: &[&'a Difference],
        functions: &BTreeMap<String, String>,
        seen: &mut BTreeSet<&'a str>,
        order: &mut Vec<&'a Difference>,
    ) {
        if !seen.insert(&one.name) {
            return;
        }
        let statement = functions.get(&one.name).map_or("", String::as_str);
        for other in all.iter().filter(|other| statement.contains(&format!("{}(", bare(&other.name)))) {
            visit(other, all, functions, seen, order);
        }
        order.push(one);
    }
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    for one in all {
        visit(one, all, functions, &mut seen, &mut order);
    }
    order
}

impl<'a> Draft<'a> {
    pub(super) fn functions(&mut self, all: &[&'a Difference]) {
        let (gone, come): (Vec<&Difference>, Vec<&Difference>) = all.iter().partition(|one| one.found.is_none());
        for one in ordered(&gone, &self.from.functions).into_iter().rev() {
            let statement = self.from.functions.get(&one.name).map_or("", String::as_str);
            // With a body of statements PostgreSQL knows what they use, and lets nothing of it go before.
            let is_user = !statement.contains("\nAS $") && Self::speaks_of_table(statement, self.from, self.to);
            let turn = if is_user { Turn::DropEarlyFunction } else { Turn::DropFunction };
            let is_procedure = one.expected.as_ref().is_some_and(|old| old.starts_with("procedure"));
            let kind = if is_procedure { "procedure" } else { "function" };
            self.say(turn, format!("drop {kind} {}", one.name));
        }
        let mut late: Vec<&str> = Vec::new();
        for one in ordered(&come, &self.to.functions) {
            let to = self.to;
            let Some(statement) = to.functions.get(&one.name) else {
                self.left.push(one);
                continue;
            };
            let is_late = Self::speaks_of_table(statement, to, self.from)
                || late.iter().any(|name| statement.contains(&format!("{name}(")));
            if is_late {
                late.push(bare(&one.name));
            }
            self.say(if is_late { Turn::LateFunction } else { Turn::Function }, statement);
            if one.expected.is_none() {
                self.grants_of_new("function", &one.name);
            }
        }
    }

    /// Whether a statement speaks of a table that one schema has and the other has not.
    fn speaks_of_table(statement: &str, of: &Drawn, other: &Drawn) -> bool {
        let tables = of.fingerprint.entries.iter().filter(|entry| entry.kind == "table");
        tables.filter(|table| !Self::has(other, "table", &table.name)).any(|table| statement.contains(&table.name))
    }
}
