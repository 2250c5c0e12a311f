//! What an object's number stands for.

use std::collections::{HashMap, HashSet};

use tokio_postgres::SimpleQueryRow;

use super::Part;

/// The first number that is not PostgreSQL's own. What it has itself has the same number in every database of a server.
pub(super) const FIRST: u32 = 16_384;

/// What no schema's fingerprint has.
const LEFT_OUT: [&str; 2] = ["refinery_schema_history", "rowhouse_backfill"];

/// Names by numbers, as one database has them.
pub(super) struct Names {
    /// None where a number stands for two things.
    names: HashMap<u32, Option<String>>,
    /// The relations of the schema that its fingerprint has.
    pub(super) relations: HashSet<u32>,
    /// Those of the schema that are indexes.
    pub(super) indexes: HashSet<u32>,
    /// Types whose values are numbers of something else.
    pub(super) enums: HashSet<u32>,
    /// The relations of composite types.
    composites: HashSet<u32>,
    /// The number of the schema itself.
    namespace: u32,
}

impl Names {
    /// None where the role may not use the schema, or grants would be told in other words.
    pub(super) fn of(head: &Part<'_>, catalogs: &[Part<'_>]) -> Option<Self> {
        let head = head.rows.first()?;
        // The fingerprint calls whoever has that role by another name.
        if head.get(3) != Some("t") || head.get(4) != Some("f") {
            return None;
        }
        let [classes, types, others, functions, ..] = catalogs else { return None };
        let mut this = Self {
            names: HashMap::new(),
            relations: HashSet::new(),
            indexes: HashSet::new(),
            enums: HashSet::new(),
            composites: HashSet::new(),
            namespace: number(head, 0)?,
        };
        this.add(number(head, 1)?, "owner".to_owned());
        this.add(number(head, 2)?, "role tenant_app".to_owned());
        for row in &classes.rows {
            let name = row.get("relname")?;
            let oid = number(row, "oid")?;
            this.add(oid, format!("relation {name}"));
            this.add(number(row, "reltype")?, format!("row of {name}"));
            if row.get("relispartition") == Some("f") && !LEFT_OUT.contains(&name) {
                this.relations.insert(oid);
            }
            match row.get("relkind")? {
                "c" => this.composites.insert(oid),
                "i" | "I" => this.indexes.insert(oid),
                _ => false,
            };
        }
        for row in &types.rows {
            this.add_type(row)?;
        }
        for row in &others.rows {
            this.add(number(row, 0)?, format!("{} {}", row.get(1)?, row.get(2)?));
        }
        for row in &functions.rows {
            let arguments = this.list(row.get("proargtypes")?)?;
            this.add(number(row, "oid")?, format!("function {}({arguments})", row.get("proname")?));
        }
        Some(this)
    }

    fn add_type(&mut self, row: &SimpleQueryRow) -> Option<()> {
        let (oid, array, name) = (number(row, "oid")?, number(row, "typarray")?, row.get("typname")?);
        let place = if number(row, "typnamespace")? == self.namespace { "" } else { "extensions." };
        if row.get("typtype") == Some("e") {
            self.enums.extend([oid, array]);
        }
        // That of a table has its name already.
        if row.get("typtype") != Some("c") || !self.names.contains_key(&oid) {
            self.add(oid, format!("type {place}{name}"));
        }
        Some(())
    }

    /// Whether a type is one of the schema's own, and not only what a table or another type brings along.
    pub(super) fn is_own_type(&self, row: &SimpleQueryRow) -> bool {
        let is = |column: &str, value: &str| row.try_get(column).ok().flatten() == Some(value);
        let is_composite = || number(row, "typrelid").is_some_and(|relation| self.composites.contains(&relation));
        number(row, "typnamespace") == Some(self.namespace)
            && !is("typtype", "b")
            && (!is("typtype", "c") || is_composite())
    }

    fn add(&mut self, oid: u32, name: String) {
        if oid != 0 {
            // With its length, so that no two lists of names run together into the same text.
            let name = format!("{}:{name}", name.len());
            let keep = |known: &mut Option<String>| *known = known.take().filter(|known| *known == name);
            self.names.entry(oid).and_modify(keep).or_insert(Some(name.clone()));
        }
    }

    /// What a number in a text stands for: itself, where it is PostgreSQL's own.
    pub(super) fn one<'a>(&'a self, text: &'a str) -> Option<&'a str> {
        match text.parse::<u32>() {
            Ok(oid) if oid >= FIRST => self.names.get(&oid)?.as_deref(),
            Ok(_) => Some(text),
            Err(_) => None,
        }
    }

    /// The same of several, between whatever else there is.
    pub(super) fn list(&self, text: &str) -> Option<String> {
        let mut spelled = String::with_capacity(text.len());
        for part in text.split_inclusive([' ', ',', '{', '}']) {
            let digits = part.trim_end_matches([' ', ',', '{', '}']);
            if digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() {
                spelled.push_str(self.one(digits)?);
                spelled.push_str(&part[digits.len()..]);
            } else {
                spelled.push_str(part);
            }
        }
        Some(spelled)
    }
}

fn number<I: tokio_postgres::row::RowIndex + std::fmt::Display>(row: &SimpleQueryRow, column: I) -> Option<u32> {
    row.try_get(column).ok()??.parse().ok()
}
