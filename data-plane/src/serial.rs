//! Reading and checking what resources have in common: names, tags, metadata, fields that may be emptied.

use rowhouse_domain::ItemName;
use rowhouse_problem::{Error, FieldError, Result};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::IntoParams;

/// Most tags of one item.
const MAX_TAGS: usize = 64;
/// Longest tag, in characters.
const MAX_TAG_CHARS: usize = 100;
/// Largest metadata as JSON text: the search index keeps twice that of it as words.
const MAX_METADATA_BYTES: usize = 32 * 1024;
/// How deep metadata may be nested.
const MAX_METADATA_DEPTH: usize = 16;

fn is_tag(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_TAG_CHARS && !text.chars().any(char::is_control)
}

fn what_a_tag_is() -> String {
    format!("must be 1 to {MAX_TAG_CHARS} characters without control characters")
}

/// The tag that a list is asked for, as [`Checks::tags`] would have stored it.
///
/// # Errors
/// Invalid, where nothing can have it.
pub(crate) fn wanted_tag(text: Option<&str>) -> Result<Option<&str>> {
    match text.map(str::trim) {
        Some(tag) if !is_tag(tag) => Err(Error::invalid_field("tag", what_a_tag_is())),
        tag => Ok(tag),
    }
}

/// For `Option<Option<T>>`: a field that is absent stays as it is, `null` empties it.
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// How a file, folder or workspace is deleted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DeleteQuery {
    /// `true` removes for good what is deleted already, before its time.
    #[serde(default)]
    pub(crate) purge: bool,
}

/// Collects what is wrong with a request, so that all of it is said at once.
#[derive(Default)]
pub(crate) struct Checks(Vec<FieldError>);

impl Checks {
    /// A name of a file, folder or workspace.
    pub(crate) fn name(&mut self, pointer: &str, text: &str) -> Option<ItemName> {
        ItemName::parse(text).map_err(|error| self.complain(pointer, error)).ok()
    }

    /// Tags: white space cut, repeats dropped, order kept.
    pub(crate) fn tags(&mut self, pointer: &str, tags: Vec<String>) -> Vec<String> {
        if tags.len() > MAX_TAGS {
            self.complain(pointer, format!("must hold at most {MAX_TAGS} tags"));
            return Vec::new();
        }
        let mut kept: Vec<String> = Vec::with_capacity(tags.len());
        for (index, tag) in tags.iter().enumerate() {
            let tag = tag.trim();
            if !is_tag(tag) {
                self.complain(&format!("{pointer}/{index}"), what_a_tag_is());
            } else if !kept.iter().any(|one| one == tag) {
                kept.push(tag.to_owned());
            }
        }
        kept
    }

    /// Metadata: an object of bounded size that PostgreSQL can hold.
    pub(crate) fn metadata(&mut self, pointer: &str, metadata: Map<String, Value>) -> Value {
        let value = Value::Object(metadata);
        if value.to_string().len() > MAX_METADATA_BYTES {
            self.complain(pointer, format!("must be at most {MAX_METADATA_BYTES} bytes as JSON"));
        }
        if !is_storable(&value, MAX_METADATA_DEPTH) {
            let what = format!("must nest at most {MAX_METADATA_DEPTH} deep and hold no NUL character");
            self.complain(pointer, what);
        }
        value
    }

    /// A short text chosen by the caller.
    pub(crate) fn label(&mut self, pointer: &str, text: String, longest: usize) -> String {
        if text.is_empty() || text.chars().count() > longest || text.chars().any(char::is_control) {
            self.complain(pointer, format!("must be 1 to {longest} characters without control characters"));
        }
        text
    }

    /// Words of the caller's, of several lines where it likes.
    pub(crate) fn text(&mut self, pointer: &str, text: String, longest: usize) -> String {
        let is_odd = |character: char| character.is_control() && !matches!(character, '\n' | '\r' | '\t');
        if text.trim().is_empty() || text.chars().count() > longest || text.chars().any(is_odd) {
            let what = format!("must be 1 to {longest} characters without control characters but line ends and tabs");
            self.complain(pointer, what);
        }
        text
    }

    /// A number of bytes.
    pub(crate) fn bytes(&mut self, pointer: &str, bytes: i64) -> i64 {
        if bytes < 0 {
            self.complain(pointer, "must not be negative");
        }
        bytes
    }

    /// Notes a complaint about a field.
    pub(crate) fn complain(&mut self, pointer: &str, what: impl std::fmt::Display) {
        self.0.push(FieldError::new(pointer, what));
    }

    /// The complaints of a part of the request, taken up into these.
    pub(crate) fn extend(&mut self, complaints: Vec<FieldError>) {
        self.0.extend(complaints);
    }

    /// All complaints.
    pub(crate) fn into_complaints(self) -> Vec<FieldError> {
        self.0
    }

    /// Everything is fine, or all complaints.
    pub(crate) fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::invalid(self.0)) }
    }
}

/// PostgreSQL's `jsonb` takes no NUL in a text.
fn is_storable(value: &Value, depth: usize) -> bool {
    match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => depth > 0 && items.iter().all(|item| is_storable(item, depth - 1)),
        Value::Object(fields) => {
            depth > 0 && fields.iter().all(|(key, item)| !key.contains('\0') && is_storable(item, depth - 1))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_complaints_come_at_once() {
        let mut checks = Checks::default();
        checks.name("/name", "../x");
        checks.tags("/tags", vec!["ok".to_owned(), String::new(), "ok ".to_owned()]);
        let Value::Object(metadata) = json!({"a": ["b\0"]}) else { unreachable!() };
        checks.metadata("/metadata", metadata);
        let error = checks.finish().unwrap_err();
        let pointers: Vec<&str> = error.fields().iter().map(|field| field.pointer.as_str()).collect();
        assert_eq!(pointers, ["/name", "/tags/1", "/metadata"]);
    }

    #[test]
    fn repeated_tags_are_kept_once() {
        let mut checks = Checks::default();
        let tags = checks.tags("/tags", vec!["b".to_owned(), " a".to_owned(), "b".to_owned()]);
        assert_eq!(tags, ["b", "a"]);
    }

    #[test]
    fn metadata_does_not_nest_without_end() {
        let mut value = json!(1);
        for _ in 0..20 {
            value = json!({ "a": value });
        }
        assert!(!is_storable(&value, MAX_METADATA_DEPTH));
    }
}
