//! Names: those that people choose, and those of roles and databases made from them.

use std::fmt;

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

use crate::ids::{TenantId, looks_like_an_id};

/// Longest name of a file, folder or workspace, in bytes of UTF-8: what common file systems hold.
pub const MAX_ITEM_NAME_BYTES: usize = 255;
/// Longest name of an organization or tenant, in characters.
pub const MAX_DISPLAY_NAME_CHARS: usize = 100;
/// PostgreSQL cuts longer identifiers silently (NAMEDATALEN - 1).
pub const MAX_IDENTIFIER_BYTES: usize = 63;

/// Why a name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing, or nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// Longer than a name may be.
    #[error("must be at most {0}")]
    TooLong(&'static str),
    /// A NUL, a line break or another control or invisible formatting character.
    #[error("must not contain control characters")]
    ControlCharacter,
    /// A slash or backslash.
    #[error("must not contain `/` or `\\`")]
    Separator,
    /// `.` or `..`.
    #[error("must not be `.` or `..`")]
    Dots,
    /// Could be taken for an id.
    #[error("must not look like an id")]
    LooksLikeAnId,
}

/// White space cut, characters composed (NFC), nothing that hides or breaks a line.
fn clean(text: &str) -> Result<String, InvalidName> {
    let text = text.trim();
    // ASCII is composed already; every name is read again with each row.
    let name: String = if text.is_ascii() { text.to_owned() } else { text.nfc().collect() };
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if name.chars().any(is_unprintable) {
        return Err(InvalidName::ControlCharacter);
    }
    if looks_like_an_id(&name) {
        return Err(InvalidName::LooksLikeAnId);
    }
    Ok(name)
}

/// Control characters, and the formatting ones that reorder or hide text (Unicode TR 36 §3).
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of an organization.
    OrganizationName
}
name! {
    /// The name of a tenant, unique in its organization.
    TenantName
}
name! {
    /// The name of a file, folder or workspace: one path segment.
    ItemName
}
name! {
    /// A database that Rowhouse made: always safe as an identifier, never longer than PostgreSQL keeps.
    DatabaseName
}
name! {
    /// A login role that Rowhouse made.
    RoleName
}

impl OrganizationName {
    /// Takes a name as a person typed it.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        display_name(text).map(Self)
    }
}

impl TenantName {
    /// Takes a name as a person typed it.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        display_name(text).map(Self)
    }
}

fn display_name(text: &str) -> Result<String, InvalidName> {
    let name = clean(text)?;
    if name.chars().count() > MAX_DISPLAY_NAME_CHARS {
        return Err(InvalidName::TooLong("100 characters"));
    }
    Ok(name)
}

impl ItemName {
    /// Takes a name as a client sent it: one path segment, nothing that could climb out of a folder.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let name = clean(text)?;
        if name.len() > MAX_ITEM_NAME_BYTES {
            return Err(InvalidName::TooLong("255 bytes"));
        }
        if name.contains(['/', '\\']) {
            return Err(InvalidName::Separator);
        }
        if name == "." || name == ".." {
            return Err(InvalidName::Dots);
        }
        Ok(Self(name))
    }

    /// The form that uniqueness and sorting use: compatibility-composed and in lower case.
    pub fn normalized(&self) -> String {
        self.0.nfkc().flat_map(char::to_lowercase).nfc().collect()
    }

    /// What follows the last dot, in lower case; empty where there is none.
    pub fn extension(&self) -> String {
        self.0
            .rsplit_once('.')
            .filter(|(stem, _)| !stem.is_empty())
            .map_or_else(String::new, |(_, end)| end.to_lowercase())
    }
}

/// `tenant_` + slug + `_` + 32 hex digits must fit an identifier.
const MAX_SLUG_BYTES: usize = MAX_IDENTIFIER_BYTES - "tenant__".len() - 32;

/// A name in `[a-z0-9_]`, cut to what an identifier has room for; `tenant` where nothing is left.
pub fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(MAX_SLUG_BYTES);
    for character in name.nfkd().filter(char::is_ascii).map(|letter| letter.to_ascii_lowercase()) {
        if slug.len() == MAX_SLUG_BYTES {
            break;
        }
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('_') {
            slug.push('_');
        }
    }
    let slug = slug.trim_end_matches('_');
    if slug.is_empty() { "tenant".to_owned() } else { slug.to_owned() }
}

/// The one place where a tenant's own words become part of an identifier.
pub fn database_and_role(name: &TenantName, id: TenantId) -> (DatabaseName, RoleName) {
    let text = format!("tenant_{}_{}", slug(name.as_str()), id.as_uuid().simple());
    assert!(text.len() <= MAX_IDENTIFIER_BYTES, "the slug is cut so that the whole fits");
    (DatabaseName(text.clone()), RoleName(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn path_tricks_are_refused() {
        for (text, why) in [
            ("", InvalidName::Empty),
            ("  ", InvalidName::Empty),
            ("..", InvalidName::Dots),
            ("../etc/passwd", InvalidName::Separator),
            ("a\\b", InvalidName::Separator),
            ("nul\0byte", InvalidName::ControlCharacter),
            ("line\nbreak", InvalidName::ControlCharacter),
            ("gnp.\u{202E}exe", InvalidName::ControlCharacter),
        ] {
            assert_eq!(ItemName::parse(text), Err(why), "{text:?}");
        }
        assert_eq!(ItemName::parse(&"ä".repeat(128)), Err(InvalidName::TooLong("255 bytes")));
        assert!(ItemName::parse(&FileIdText::text()).is_err());
    }

    struct FileIdText;
    impl FileIdText {
        fn text() -> String {
            crate::ids::FileId::new().to_string()
        }
    }

    #[test]
    fn composed_and_decomposed_names_are_one() {
        let composed = ItemName::parse("r\u{e9}sum\u{e9}.PDF").unwrap();
        let decomposed = ItemName::parse("re\u{301}sume\u{301}.pdf").unwrap();
        assert_eq!(composed.normalized(), decomposed.normalized());
        assert_eq!(composed.extension(), "pdf");
    }

    #[test]
    fn slugs_are_readable() {
        for (name, expected) in [
            ("Acme Corp.", "acme_corp"),
            ("Zürich & Söhne", "zurich_sohne"),
            ("日本", "tenant"),
            ("__x__", "x"),
            ("a name that is far too long to fit", "a_name_that_is_far_too"),
        ] {
            assert_eq!(slug(name), expected);
        }
    }

    proptest! {
        #[test]
        fn database_names_fit_and_differ(name in "\\PC{1,100}") {
            let Ok(name) = TenantName::parse(&name) else { return Ok(()) };
            let (database, _) = database_and_role(&name, TenantId::new());
            prop_assert!(database.as_str().len() <= MAX_IDENTIFIER_BYTES);
            prop_assert!(database.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
            let (other, _) = database_and_role(&name, TenantId::new());
            prop_assert_ne!(database, other);
        }

        #[test]
        fn an_accepted_item_name_is_one_path_segment(text in "\\PC*") {
            if let Ok(name) = ItemName::parse(&text) {
                prop_assert_eq!(std::path::Path::new(name.as_str()).components().count(), 1);
                prop_assert_eq!(ItemName::parse(name.as_str()), Ok(name));
            }
        }
    }
}
