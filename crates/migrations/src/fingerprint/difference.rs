//! Two fingerprints, object by object.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Fingerprint;

/// An object that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// As in [`Entry`](super::Entry).
    pub kind: String,
    /// Its name within the schema.
    pub name: String,
    /// What it should be; none where it should not be there.
    pub expected: Option<String>,
    /// What it is; none where it is missing.
    pub found: Option<String>,
    /// SHA-256 over all of this, in hexadecimal; of a table that is missing or additional as a whole, also over what belongs to
    /// it and is not listed.
    pub hash: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, name, expected, found, .. } = self;
        match (expected, found) {
            (Some(expected), None) => write!(formatter, "{kind} {name} is missing: {expected}"),
            (None, Some(found)) => write!(formatter, "{kind} {name} should not be there: {found}"),
            (Some(expected), Some(found)) => {
                write!(formatter, "{kind} {name} has changed: expected {expected}, found {found}")
            }
            (None, None) => write!(formatter, "{kind} {name}"),
        }
    }
}

/// What is missing, additional or changed, by kind and name.
///
/// What belongs to a table that is missing or additional as a whole is not listed beside it.
pub fn difference(expected: &Fingerprint, found: &Fingerprint) -> Vec<Difference> {
    let by_name = |fingerprint: &Fingerprint| -> BTreeMap<(String, String), String> {
        let entries = fingerprint.entries.iter();
        entries.map(|entry| ((entry.kind.clone(), entry.name.clone()), entry.definition.clone())).collect()
    };
    let (mut expected, mut found) = (by_name(expected), by_name(found));
    let names: BTreeSet<(String, String)> = expected.keys().chain(found.keys()).cloned().collect();
    let differences: Vec<Difference> = names
        .into_iter()
        .map(|name| {
            let (expected, found) = (expected.remove(&name), found.remove(&name));
            Difference { kind: name.0, name: name.1, expected, found, hash: String::new() }
        })
        .filter(|one| one.expected != one.found)
        .collect();
    let whole: BTreeSet<String> = differences
        .iter()
        .filter(|one| one.kind == "table" && (one.expected.is_none() || one.found.is_none()))
        .map(|one| one.name.clone())
        .collect();
    let (parts, listed): (Vec<_>, Vec<_>) = differences.into_iter().partition(|one| belongs_to(one, &whole).is_some());
    let of = |table: &Difference| {
        let is_of = |part: &&Difference| table.kind == "table" && belongs_to(part, &whole) == Some(table.name.as_str());
        parts.iter().filter(is_of).collect::<Vec<_>>()
    };
    let hashed = listed.iter().map(|one| hash(one, &of(one))).collect::<Vec<_>>();
    listed.into_iter().zip(hashed).map(|(one, hash)| Difference { hash, ..one }).collect()
}

/// The table of some that an object is part of.
fn belongs_to<'a>(one: &'a Difference, tables: &BTreeSet<String>) -> Option<&'a str> {
    let table = match one.kind.as_str() {
        "column" | "constraint" | "policy" | "trigger" | "rule" => one.name.split_once('.')?.0,
        "grant" => one.name.strip_prefix("table ")?.split_once(" to ")?.0,
        _ => return None,
    };
    tables.contains(table).then_some(table)
}

fn hash(one: &Difference, parts: &[&Difference]) -> String {
    let mut hasher = Sha256::new();
    for Difference { kind, name, expected, found, .. } in std::iter::once(one).chain(parts.iter().copied()) {
        for part in [Some(kind), Some(name), expected.as_ref(), found.as_ref()] {
            // With their lengths, and one that nothing has for what is not there, so that no two run together into the same bytes.
            hasher.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
            hasher.update(part.map_or("", String::as_str));
        }
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Entry;

    fn of(entries: &[(&str, &str, &str)]) -> Fingerprint {
        let entry = |(kind, name, definition): &(&str, &str, &str)| Entry {
            kind: (*kind).to_owned(),
            name: (*name).to_owned(),
            definition: (*definition).to_owned(),
        };
        Fingerprint::of(entries.iter().map(entry).collect())
    }

    /// What differs from an index, by name and hash.
    fn hashes(found: &[(&str, &str, &str)]) -> Vec<(String, String)> {
        let expected = of(&[("index", "a", "one"), ("column", "files.a", "text")]);
        difference(&expected, &of(found)).into_iter().map(|one| (one.name, one.hash)).collect()
    }

    #[test]
    fn a_difference_has_its_own_hash_whatever_else_differs() {
        let (index, column) = (("index", "a", "one"), ("column", "files.a", "text"));
        let more = hashes(&[index, column, ("index", "b", "two")]);
        let changed = hashes(&[index, column, ("index", "b", "three")]);
        assert_ne!(more, changed);
        let both = hashes(&[column, ("index", "b", "two")]);
        assert_eq!((both.len(), &both[1]), (2, &more[0]));
        assert_ne!(both[0].1, hashes(&[column, ("index", "a", "")])[0].1, "missing, and empty");
    }

    #[test]
    fn what_belongs_to_an_additional_table_counts_with_it() {
        let (index, column) = (("index", "a", "one"), ("column", "files.a", "text"));
        let table = ("table", "notes", "a table");
        let one = hashes(&[index, column, table, ("column", "notes.a", "text")]);
        let other = hashes(&[index, column, table, ("column", "notes.a", "integer")]);
        let granted =
            hashes(&[index, column, table, ("column", "notes.a", "text"), ("grant", "table notes to x", "r")]);
        assert_eq!((one.len(), other.len(), granted.len()), (1, 1, 1));
        assert!(one != other && one != granted);
    }
}
