//! Two fingerprints, object by object.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

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
}

impl std::fmt::Display for Difference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, name, expected, found } = self;
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
            Difference { kind: name.0, name: name.1, expected, found }
        })
        .filter(|one| one.expected != one.found)
        .collect();
    let whole: BTreeSet<String> = differences
        .iter()
        .filter(|one| one.kind == "table" && (one.expected.is_none() || one.found.is_none()))
        .map(|one| one.name.clone())
        .collect();
    let is_part_of_whole = |kind: &str, name: &str| match kind {
        "column" | "constraint" | "policy" | "trigger" | "rule" => {
            name.split_once('.').is_some_and(|(table, _)| whole.contains(table))
        }
        "grant" => name
            .strip_prefix("table ")
            .and_then(|name| name.split_once(" to "))
            .is_some_and(|(table, _)| whole.contains(table)),
        _ => false,
    };
    differences.into_iter().filter(|one| !is_part_of_whole(&one.kind, &one.name)).collect()
}
