//! Which index a statement makes concurrently: what is left of it after a crash is dropped before the next try.

/// The index that a `create index concurrently` makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConcurrentIndex {
    /// As the catalog has it, not as it is written.
    pub(crate) name: String,
}

/// Reads it from a statement; none where the statement does something else.
pub(crate) fn made_by(sql: &str) -> Result<Option<ConcurrentIndex>, String> {
    let mut words = words(sql).into_iter();
    let mut next = || words.next().unwrap_or_default();
    if next() != "create" {
        return Ok(None);
    }
    let mut word = next();
    if word == "unique" {
        word = next();
    }
    if word != "index" || next() != "concurrently" {
        return Ok(None);
    }
    let mut name = next();
    if name == "if" {
        // `not exists` follows, or PostgreSQL will refuse it.
        (_, _, name) = (next(), next(), next());
    }
    match name.as_str() {
        "" | "on" => Err("an index made concurrently needs a name".to_owned()),
        _ => Ok(Some(ConcurrentIndex { name: name.strip_prefix('"').map_or(name.clone(), str::to_owned) })),
    }
}

/// Words in lower case, quoted ones as they are behind a quotation mark, without comments. Everything else separates.
fn words(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("--") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else if first == '"' {
            let end = rest[1..].find('"').map_or(rest.len(), |end| end + 1);
            words.push(rest[..end].to_owned());
            rest = rest.get(end + 1..).unwrap_or_default();
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|other: char| !(other.is_alphanumeric() || other == '_' || other == '$'));
            let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
            words.push(word.to_lowercase());
            rest = behind;
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_read_from_the_statement() {
        let name = |sql: &str| made_by(sql).map(|index| index.map(|index| index.name));
        let found = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(name("-- Why.\ncreate index concurrently Files_A_Idx on files (a);"), found("files_a_idx"));
        assert_eq!(name("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a /* b */ ON c (d)"), found("a"));
        assert_eq!(name("create index concurrently \"Odd name\" on a (b)"), found("Odd name"));
        assert_eq!(name("drop index concurrently a"), Ok(None));
        assert_eq!(name("create index a on b (c)"), Ok(None));
        assert_eq!(name("alter type a add value 'create index concurrently b on c'"), Ok(None));
        assert!(name("create index concurrently on a (b)").is_err());
        assert_eq!(name(""), Ok(None));
    }
}
