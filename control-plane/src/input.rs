//! Reading what callers send: every complaint is collected, so that one answer names them all.

use std::fmt::Display;

use jiff::Timestamp;
use rowhouse_problem::{Error, FieldError, Result};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Complaints about the fields of one request.
#[derive(Default)]
pub(crate) struct Complaints(Vec<FieldError>);

impl Complaints {
    /// Keeps a value that is fine; notes a complaint about one that is not.
    pub(crate) fn take<T>(&mut self, pointer: &str, value: Result<T, impl Display>) -> Option<T> {
        value.map_err(|detail| self.0.push(FieldError::new(pointer, detail))).ok()
    }

    /// The same for a field that may be absent.
    pub(crate) fn take_opt<T, U, E: Display>(
        &mut self,
        pointer: &str,
        value: Option<T>,
        parse: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        value.and_then(|value| self.take(pointer, parse(value)))
    }

    /// Notes a complaint unless a rule holds.
    pub(crate) fn require(&mut self, pointer: &str, holds: bool, detail: impl Display) {
        if !holds {
            self.0.push(FieldError::new(pointer, detail));
        }
    }

    /// Ends in an error where there was any complaint.
    pub(crate) fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::invalid(self.0)) }
    }

    /// What was read, where there was no complaint.
    pub(crate) fn finish_with<T>(self, value: Option<T>) -> Result<T> {
        self.finish()?;
        Ok(value.expect("a value is missing only where a complaint says why"))
    }
}

/// Free text of one line: not empty, not longer than `max` characters, nothing that can't be stored or shown.
pub(crate) fn text(value: &str, max: usize) -> Result<String, String> {
    let value = value.trim();
    if value.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if value.chars().count() > max {
        return Err(format!("must be at most {max} characters"));
    }
    if value.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(value.to_owned())
}

/// An e-mail address as far as it can be told without sending to it (RFC 5321 §4.5.3.1 limits the length).
pub(crate) fn email(value: &str) -> Result<String, &'static str> {
    let value = value.trim();
    let plausible = value.len() <= 254
        && value.is_ascii()
        && value.bytes().all(|byte| byte.is_ascii_graphic())
        && value.rsplit_once('@').is_some_and(|(local, host)| {
            !local.is_empty() && local.len() <= 64 && !local.contains('@') && host_is_fine(host)
        });
    if plausible { Ok(value.to_owned()) } else { Err("must be an e-mail address") }
}

/// A host name, in lower case (RFC 1123 §2.1).
pub(crate) fn hostname(value: &str) -> Result<String, &'static str> {
    let value = value.trim().trim_end_matches('.').to_ascii_lowercase();
    if value.contains('.') && host_is_fine(&value) {
        Ok(value)
    } else {
        Err("must be a host name such as `files.example.com`")
    }
}

fn host_is_fine(host: &str) -> bool {
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

/// Largest JSON object that is stored, in bytes of its text: every change writes it to the audit log again, twice.
const OBJECT_BYTES: usize = 32 * 1024;
/// Most levels of a JSON object that is stored, itself included.
const OBJECT_LEVELS: usize = 16;

/// A JSON object that may be stored: of bounded size and depth, and without NUL, which `jsonb` has not.
pub(crate) fn object(value: Map<String, Value>) -> Result<Value, String> {
    let value = Value::Object(value);
    if has_nul(&value) {
        return Err("must not contain the character U+0000".to_owned());
    }
    if levels(&value) > OBJECT_LEVELS {
        return Err(format!("must not be nested more than {OBJECT_LEVELS} levels deep"));
    }
    if value.to_string().len() > OBJECT_BYTES {
        return Err(format!("must be at most {OBJECT_BYTES} bytes of JSON"));
    }
    Ok(value)
}

/// How deep arrays and objects are nested. The parser's own limit keeps the recursion short.
fn levels(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A number of bytes or things.
pub(crate) fn not_negative<T: Default + PartialOrd>(value: T) -> Result<T, &'static str> {
    if value >= T::default() { Ok(value) } else { Err("must not be negative") }
}

/// Text of a query that is compared with a column; PostgreSQL's `text` has no NUL.
pub(crate) fn filter(name: &str, value: Option<String>) -> Result<Option<String>> {
    match value {
        Some(text) if text.contains('\0') => Err(Error::invalid_field(name, "must not contain the character U+0000")),
        other => Ok(other),
    }
}

/// A point in time that PostgreSQL can hold: `jiff` goes further back.
pub(crate) fn moment(value: Timestamp) -> Result<Timestamp, &'static str> {
    if value >= Timestamp::UNIX_EPOCH { Ok(value) } else { Err("must not be before 1970") }
}

/// A point in time in a query.
pub(crate) fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    let read = |text: &str| {
        let time = text.parse().map_err(|_| "must be a time as in RFC 3339").and_then(moment);
        time.map_err(|detail| Error::invalid_field(name, detail))
    };
    text.map(read).transpose()
}

/// For fields of a PATCH that can be emptied: absent is `None`, `null` is `Some(None)`.
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_are_told_from_nonsense() {
        for good in ["a@example.com", "first.last+tag@sub.example.org"] {
            assert_eq!(email(good).as_deref(), Ok(good));
        }
        for bad in ["", "a", "@example.com", "a@", "a@-x.com", "a b@example.com", "a@b@c.com", "a@ex\u{0}ample.com"] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
        assert_eq!(hostname("Files.Example.COM.").as_deref(), Ok("files.example.com"));
        for bad in ["", "localhost", "a..b", "-a.example", "a/b.example"] {
            assert!(hostname(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_postgresql_can_not_hold_is_refused() {
        let nested = json!({"a": [{"b": "x\u{0}y"}]});
        let Value::Object(members) = nested else { unreachable!() };
        assert!(object(members).is_err());
        assert!(text("line\nbreak", 100).is_err());
        assert!(filter("action", Some("\0".to_owned())).is_err());
    }

    #[test]
    fn an_object_is_of_bounded_size_and_depth() {
        let check = |value: Value| {
            let Value::Object(members) = value else { unreachable!() };
            object(members).is_ok()
        };
        let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({"a": inner}));
        assert!(check(nested(OBJECT_LEVELS)));
        assert!(!check(nested(OBJECT_LEVELS + 1)));
        assert!(!check(json!({"a": (1..OBJECT_LEVELS).fold(json!([]), |inner, _| json!([inner]))})));
        let sized = |bytes: usize| json!({"a": "x".repeat(bytes - r#"{"a":""}"#.len())});
        assert!(check(sized(OBJECT_BYTES)));
        assert!(!check(sized(OBJECT_BYTES + 1)));
    }

    #[test]
    fn every_complaint_is_kept() {
        let mut complaints = Complaints::default();
        assert_eq!(complaints.take("/a", text("", 5)), None);
        complaints.require("/b", false, "must hold");
        assert_eq!(complaints.finish().unwrap_err().fields().len(), 2);
    }
}
