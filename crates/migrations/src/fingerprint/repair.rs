//! How a schema that differs is brought back to what its template has, where that is simple and loses no data.
//!
//! Statements are made of the template's own definitions, which name no schema: they are to be run with the schema first in
//! the search path, as the owner.

use std::collections::HashSet;

use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::{Difference, Fingerprint};

/// What brings one object back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// Statements for a transaction, each with its semicolon.
    Transactional(String),
    /// One statement that must stand outside of transactions.
    Outside(String),
    /// Somebody has to decide, for this reason.
    ByHand(String),
}

/// What repairs one difference from `expected`, the template.
pub fn repair(expected: &Fingerprint, schema: &str, difference: &Difference) -> Repair {
    let Difference { kind, name, expected: wanted, found, .. } = difference;
    let (wanted, found) = (wanted.as_deref(), found.as_deref());
    let tables: HashSet<&str> =
        expected.entries.iter().filter(|entry| entry.kind == "table").map(|entry| entry.name.as_str()).collect();
    let made = match kind.as_str() {
        "index" => return index(name, wanted, found),
        "policy" => of_table(&tables, name).map(|(table, policy)| policy_sql(&table, &policy, wanted, found)),
        "constraint" => of_table(&tables, name).and_then(|(table, name)| constraint(&table, &name, wanted, found)),
        "trigger" => of_table(&tables, name).and_then(|(table, name)| trigger(&table, &name, wanted, found)),
        "column" => of_table(&tables, name).and_then(|(table, column)| column_sql(&table, &column, wanted?, found?)),
        "table" => table_sql(&escape_identifier(name), wanted, found),
        "statistics" if found.is_none() => wanted.map(|wanted| format!("{wanted};")),
        "function" => wanted.and_then(|wanted| function(schema, name, wanted)),
        "grant" => grant(name, wanted, found),
        _ => None,
    };
    made.map_or_else(|| Repair::ByHand(why_not(kind, wanted, found)), Repair::Transactional)
}

fn why_not(kind: &str, wanted: Option<&str>, found: Option<&str>) -> String {
    match (kind, wanted, found) {
        ("migration", ..) => {
            "the history of migrations is not what applying them leaves: find out who changed it, and whether \
            what the migration does is there"
                .to_owned()
        }
        ("table" | "column", Some(_), None) => "what was in it is gone: restore it from a backup".to_owned(),
        ("table" | "column" | "sequence" | "type", None, Some(_)) => {
            format!("the {kind} is nobody's but whoever made it: look into it before it is dropped")
        }
        ("column", Some(_), Some(_)) => "its type has changed, and its rows may be rewritten or refused".to_owned(),
        (_, None, Some(_)) => format!("find out who made this {kind}, then drop it"),
        _ => format!("a {kind} is not made again by a simple statement: compare the two definitions"),
    }
}

/// A table's name and that of something of it, quoted; none where it is no table's.
fn of_table(tables: &HashSet<&str>, name: &str) -> Option<(String, String)> {
    let (table, part) = name.split_once('.')?;
    tables.contains(table).then(|| (escape_identifier(table), escape_identifier(part)))
}

fn index(name: &str, wanted: Option<&str>, found: Option<&str>) -> Repair {
    let quoted = escape_identifier(name);
    match (wanted, found) {
        (Some(wanted), Some(found)) if found.strip_prefix(wanted) == Some("; not valid") => {
            Repair::Outside(format!("reindex index concurrently {quoted};"))
        }
        (Some(wanted), None) if !wanted.contains("; ") => {
            let concurrently = wanted.replacen(" INDEX ", " INDEX CONCURRENTLY ", 1);
            Repair::Outside(format!("{concurrently};"))
        }
        (Some(wanted), Some(_)) if !wanted.contains("; ") => {
            Repair::Transactional(format!("drop index {quoted}; {wanted};"))
        }
        (None, Some(_)) => Repair::Outside(format!("drop index concurrently {quoted};")),
        _ => Repair::ByHand(why_not("index", wanted, found)),
    }
}

fn policy_sql(table: &str, policy: &str, wanted: Option<&str>, found: Option<&str>) -> String {
    let dropped = found.map(|_| format!("drop policy {policy} on {table};"));
    let made = wanted.map(|wanted| format!("create policy {policy} on {table} as {wanted};"));
    joined([dropped, made])
}

fn constraint(table: &str, name: &str, wanted: Option<&str>, found: Option<&str>) -> Option<String> {
    let dropped = found.map(|_| format!("alter table {table} drop constraint {name};"));
    let is_key = |definition: &str| ["PRIMARY KEY", "UNIQUE"].iter().any(|word| definition.starts_with(word));
    if found.is_some_and(is_key) {
        // Foreign keys hang on it.
        return None;
    }
    let made = wanted.map(|wanted| {
        if ["CHECK", "FOREIGN KEY"].iter().any(|word| wanted.starts_with(word)) && !wanted.ends_with(" NOT VALID") {
            // Added without a scan under its lock, then checked under a weaker one.
            format!(
                "alter table {table} add constraint {name} {wanted} not valid; alter table {table} validate constraint {name};"
            )
        } else {
            format!("alter table {table} add constraint {name} {wanted};")
        }
    });
    Some(joined([dropped, made]))
}

fn trigger(table: &str, name: &str, wanted: Option<&str>, found: Option<&str>) -> Option<String> {
    match (wanted, found) {
        (Some(wanted), Some(found)) if found.strip_prefix(wanted) == Some("; disabled") => {
            Some(format!("alter table {table} enable trigger {name};"))
        }
        (Some(wanted), _) if !wanted.contains("; ") => {
            let dropped = found.map(|_| format!("drop trigger {name} on {table};"));
            Some(joined([dropped, Some(format!("{wanted};"))]))
        }
        (None, Some(_)) => Some(format!("drop trigger {name} on {table};")),
        _ => None,
    }
}

/// What is behind a column's type.
struct Column<'a> {
    of_type: &'a str,
    is_required: bool,
    default: Option<&'a str>,
}

fn column(definition: &str) -> Option<Column<'_>> {
    if definition.contains(" generated ") {
        return None;
    }
    let (rest, default) = match definition.split_once(" default ") {
        Some((rest, default)) => (rest, Some(default)),
        None => (definition, None),
    };
    let (of_type, is_required) = match rest.strip_suffix(" not null") {
        Some(of_type) => (of_type, true),
        None => (rest, false),
    };
    Some(Column { of_type, is_required, default })
}

fn column_sql(table: &str, name: &str, wanted: &str, found: &str) -> Option<String> {
    let (wanted, found) = (column(wanted)?, column(found)?);
    if wanted.of_type != found.of_type {
        return None;
    }
    let default = (wanted.default != found.default).then(|| match wanted.default {
        Some(default) => format!("alter table {table} alter column {name} set default {default};"),
        None => format!("alter table {table} alter column {name} drop default;"),
    });
    let required = (wanted.is_required != found.is_required).then(|| {
        let change = if wanted.is_required { "set" } else { "drop" };
        format!("alter table {table} alter column {name} {change} not null;")
    });
    Some(joined([default, required]))
}

fn table_sql(table: &str, wanted: Option<&str>, found: Option<&str>) -> Option<String> {
    let (wanted, found): (Vec<&str>, Vec<&str>) = (wanted?.split("; ").collect(), found?.split("; ").collect());
    let mut sql = Vec::new();
    for part in wanted.iter().filter(|part| !found.contains(part)) {
        sql.push(match *part {
            "row-level security" => format!("alter table {table} enable row level security;"),
            "no row-level security" => format!("alter table {table} disable row level security;"),
            "forced for the owner" => format!("alter table {table} force row level security;"),
            part => format!("alter table {table} owner to {};", part.strip_prefix("owner ")?),
        });
    }
    for part in found.iter().filter(|part| !wanted.contains(part)) {
        match *part {
            "row-level security" | "no row-level security" => {}
            "forced for the owner" => sql.push(format!("alter table {table} no force row level security;")),
            part if part.starts_with("owner ") => {}
            _ => return None,
        }
    }
    Some(sql.join(" "))
}

fn grant(name: &str, wanted: Option<&str>, found: Option<&str>) -> Option<String> {
    let (object, grantee) = name.rsplit_once(" to ")?;
    let (kind, object) = object.split_once(' ')?;
    // A tenant's login is called otherwise everywhere, and a right to pass on what one has is nothing to hand out by a script.
    let is_odd = |privileges: &str| privileges.contains("with grant option");
    if grantee == "{login}" || wanted.is_some_and(is_odd) || found.is_some_and(is_odd) {
        return None;
    }
    let grantee = if grantee == "public" { grantee.to_owned() } else { escape_identifier(grantee) };
    let (columns, on) = match kind {
        "table" | "sequence" | "type" => (String::new(), format!("{kind} {}", escape_identifier(object))),
        "column" => {
            let (table, column) = object.split_once('.')?;
            (format!(" ({})", escape_identifier(column)), format!("table {}", escape_identifier(table)))
        }
        // It comes as the server writes it, with the types of its arguments.
        "function" => (String::new(), format!("function {object}")),
        _ => return None,
    };
    let list = |privileges: &str| {
        let each: Vec<String> = privileges.split(", ").map(|privilege| format!("{privilege}{columns}")).collect();
        each.join(", ")
    };
    let revoked = found.map(|found| format!("revoke {} on {on} from {grantee};", list(found)));
    let granted = wanted.map(|wanted| format!("grant {} on {on} to {grantee};", list(wanted)));
    Some(joined([revoked, granted]))
}

/// `create or replace` of what the catalog's text says, word for word in its order.
fn function(schema: &str, title: &str, definition: &str) -> Option<String> {
    let bare = title.split_once('(')?.0;
    let rest = definition.strip_prefix("function (")?;
    let (arguments, rest) = rest.split_once(") returns ")?;
    let (returns, rest) = rest.split_once(" language ")?;
    let (head, body) = rest.split_once(" as ")?;
    let (head, settings) = head.split_once(" set ").map_or((head, None), |(head, settings)| (head, Some(settings)));
    let (head, owner) = head.split_once(" owner ")?;
    // Only those that return rows have a number of them.
    let head = head.strip_suffix(" rows 0").unwrap_or(head);
    let settings: Option<String> = settings
        .into_iter()
        .flat_map(|settings| settings.split(" set "))
        .map(|setting| {
            let (key, value) = setting.split_once('=')?;
            let value = match key {
                "search_path" => value.replace("{schema}", &escape_identifier(schema)),
                _ => escape_literal(value),
            };
            Some(format!(" set {key} = {value}"))
        })
        .collect();
    let is_parsed = body.starts_with("BEGIN ATOMIC") || body.starts_with("RETURN ");
    let body = if is_parsed { body.to_owned() } else { format!("as {}", escape_literal(body)) };
    let quoted = escape_identifier(bare);
    Some(format!(
        "create or replace function {quoted}({arguments}) returns {returns} language {head}{} {body}; \
         alter function {title} owner to {owner};",
        settings?
    ))
}

fn joined<const N: usize>(parts: [Option<String>; N]) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(" ")
}
