//! Rows of the catalog, spelled the same in every database.

use tokio_postgres::{SimpleColumn, SimpleQueryRow};

use super::names::Names;
use super::{Part, tree};

/// What the text of a column is.
enum Spelling {
    /// Nothing that the schema is made of, or in another column as well. Whether old rows kept an index from being used at once is
    /// a matter of when it was made, and by what a table was once sorted is one of how its rows lie.
    LeftOut,
    /// The numbers of an object, or of several.
    Objects,
    /// An expression.
    Tree,
    /// Who may do what.
    Grants,
    /// Settings of a function, which may name the schema.
    Settings,
    /// Options of a column, where it is an index's: how it is indexed. Of a table's they are statistics.
    OfIndexes,
    /// Itself. So is all that a later version of PostgreSQL adds, lest it be overlooked.
    Plain,
}

fn spelling(column: &str) -> Spelling {
    match column {
        "oid" | "connamespace" | "stxnamespace" | "typnamespace" | "typarray" | "typrelid" | "reltype"
        | "tgconstraint" | "conparentid" | "tgparentid" | "indcheckxmin" | "indisclustered" => Spelling::LeftOut,
        "relowner" | "proowner" | "typowner" | "stxowner" | "relam" | "typbasetype" | "prolang" | "prorettype"
        | "proargtypes" | "proallargtypes" | "provariadic" | "protrftypes" | "attrelid" | "atttypid"
        | "attcollation" | "adrelid" | "conrelid" | "contypid" | "conindid" | "confrelid" | "conpfeqop"
        | "conppeqop" | "conffeqop" | "conexclop" | "indexrelid" | "indrelid" | "indcollation" | "indclass"
        | "polrelid" | "polroles" | "tgrelid" | "tgfoid" | "tgconstrrelid" | "tgconstrindid" | "ev_class"
        | "stxrelid" | "seqrelid" | "seqtypid" | "objid" | "refobjid" | "enumtypid" | "rngtypid" | "rngsubtype"
        | "rngmultitypid" | "rngcollation" | "rngsubopc" | "partrelid" | "partdefid" | "partclass"
        | "partcollation" => Spelling::Objects,
        "proargdefaults" | "prosqlbody" | "adbin" | "conbin" | "indexprs" | "indpred" | "polqual" | "polwithcheck"
        | "tgqual" | "ev_qual" | "ev_action" | "stxexprs" | "partexprs" => Spelling::Tree,
        "relacl" | "typacl" | "proacl" | "attacl" => Spelling::Grants,
        "proconfig" => Spelling::Settings,
        "attoptions" => Spelling::OfIndexes,
        _ => Spelling::Plain,
    }
}

/// The relation that rows of a catalog belong to.
fn is_relation(column: &str) -> bool {
    matches!(
        column,
        "attrelid"
            | "adrelid"
            | "conrelid"
            | "indrelid"
            | "polrelid"
            | "tgrelid"
            | "ev_class"
            | "seqrelid"
            | "partrelid"
    )
}

/// Whether there is something of what few schemas have.
pub(super) fn has_more(parts: &[Part<'_>]) -> bool {
    let [_, classes, types, ..] = parts else { return false };
    let is = |row: &SimpleQueryRow, column: &str, kinds: &[&str]| {
        row.try_get(column).ok().flatten().is_some_and(|kind| kinds.contains(&kind))
    };
    classes.rows.iter().any(|row| is(row, "relkind", &["S", "p"]))
        || types.rows.iter().any(|row| is(row, "typtype", &["e", "r", "m"]))
}

/// All rows that make up the schema. None where one has something that has no name here.
pub(super) fn spelled(catalogs: &[Part<'_>], names: &Names, owner: &str, schema: &str) -> Option<Vec<String>> {
    let mut spelled = Vec::new();
    for part in catalogs {
        let columns: Vec<(Spelling, bool)> =
            part.columns.iter().map(SimpleColumn::name).map(|name| (spelling(name), is_relation(name))).collect();
        // Where the same text stands in two catalogs it means two things.
        let catalog = part.columns.first().map_or("", SimpleColumn::name);
        for row in part.rows.iter().filter(|row| is_of_schema(row, part, &columns, names)) {
            let mut text = format!("{catalog} {} ", part.columns.len());
            for (index, (spelling, _)) in columns.iter().enumerate() {
                if let Some(value) = row.get(index).filter(|_| is_told(spelling, row, names)) {
                    add(&mut text, spelling, value, names, owner, schema)?;
                } else {
                    text.push('-');
                }
            }
            spelled.push(text);
        }
    }
    Some(spelled)
}

fn is_told(spelling: &Spelling, row: &SimpleQueryRow, names: &Names) -> bool {
    let relation = || row.get("attrelid").and_then(|text| text.parse().ok());
    !matches!(spelling, Spelling::OfIndexes) || relation().is_some_and(|relation| names.indexes.contains(&relation))
}

fn is_of_schema(row: &SimpleQueryRow, part: &Part<'_>, columns: &[(Spelling, bool)], names: &Names) -> bool {
    let number = |column: &str| row.try_get(column).ok().flatten().and_then(|text| text.parse::<u32>().ok());
    // Those of other schemas, and those that come with every table, are only there for their names.
    if number("typnamespace").is_some() {
        return names.is_own_type(row);
    }
    if row.try_get("relname").is_ok() {
        return number("oid").is_some_and(|relation| names.relations.contains(&relation));
    }
    let of = columns.iter().position(|(_, is_relation)| *is_relation).map(|index| part.columns[index].name());
    match of.and_then(number) {
        // Of a type, whose constraint it is.
        None | Some(0) => true,
        Some(relation) => names.relations.contains(&relation),
    }
}

fn add(text: &mut String, spelling: &Spelling, value: &str, names: &Names, owner: &str, schema: &str) -> Option<()> {
    let spelled = match spelling {
        Spelling::LeftOut => return Some(()),
        Spelling::Plain | Spelling::OfIndexes => None,
        Spelling::Objects => Some(names.list(value)?),
        Spelling::Tree => Some(tree::spelled(value, names)?),
        Spelling::Grants if knows_grants(value, owner) => None,
        Spelling::Grants => return None,
        Spelling::Settings => Some(without_schema(value, schema)),
    };
    let spelled = spelled.as_deref().unwrap_or(value);
    // With their lengths, so that no two rows run together into the same text.
    text.push_str(&spelled.len().to_string());
    text.push(' ');
    text.push_str(spelled);
    Some(())
}

/// Whether grants are to and by those whom the fingerprint calls by their names.
fn knows_grants(value: &str, owner: &str) -> bool {
    let inside = value.trim_start_matches('{').trim_end_matches('}');
    inside.split(',').filter(|one| !one.is_empty()).all(|one| {
        let grantee = one.split_once('=').map(|(grantee, rest)| (grantee, rest.split_once('/').map(|(_, by)| by)));
        matches!(grantee, Some((to, Some(by))) if by == owner && (to.is_empty() || to == owner || to == "tenant_app"))
    })
}

/// Stands for a search path that begins with the schema.
const MARK: &str = "search_path={schema},";

/// As in the fingerprint: only a search path is expected to name the schema.
fn without_schema(value: &str, schema: &str) -> String {
    let quoted = postgres_protocol::escape::escape_identifier(schema).replace('"', "\\\"");
    value.replace(&format!("search_path={quoted},"), MARK).replace(&format!("search_path={schema},"), MARK)
}
