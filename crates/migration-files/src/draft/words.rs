//! Names as statements have them.

/// Words that PostgreSQL takes for its own where a name could stand.
const RESERVED: &str = " all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both \
    case cast char character check coalesce collate collation column concurrently constraint create cross current_catalog \
    current_date current_role current_schema current_time current_timestamp current_user dec decimal default deferrable desc \
    distinct do else end except exists extract false fetch float for foreign freeze from full grant group grouping having ilike \
    in initially inner inout int integer intersect interval into is isnull join json_array json_object lateral leading least \
    left like limit localtime localtimestamp national natural nchar none normalize not notnull null nullif numeric offset on only \
    or order out outer overlaps overlay placing position precision primary real references returning right row select \
    session_user setof similar smallint some substring symmetric system_user table tablesample then time timestamp to trailing \
    treat trim true union unique user using values varchar variadic verbose when where window with xmlattributes xmlconcat \
    xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable ";

/// A name, in quotes where it needs them.
pub(super) fn ident(name: &str) -> String {
    let is_plain = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !RESERVED.contains(&format!(" {name} "));
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A table and what belongs to it.
pub(super) fn owned(name: &str) -> Option<(String, String)> {
    let (table, part) = name.split_once('.')?;
    Some((ident(table), ident(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(ident("files"), "files");
        assert_eq!(ident("order"), "\"order\"");
        assert_eq!(ident("Files"), "\"Files\"");
        assert_eq!(ident("a\"b"), "\"a\"\"b\"");
    }
}
