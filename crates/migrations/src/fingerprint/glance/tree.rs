//! Expressions as the catalog has them: names of fields, each with its value behind it, in one line.

use std::borrow::Cow;

use super::names::{FIRST, Names};

/// Values that are numbers of objects: `regclass` and its like. Their texts are the objects' names.
const REFERENCES: [&str; 11] = ["24", "2202", "2203", "2204", "2205", "2206", "3734", "3769", "4089", "4096", "4191"];
/// Arrays of such.
const LISTS: [&str; 11] = ["1008", "2207", "2208", "2209", "2210", "2211", "3735", "3770", "4090", "4097", "4192"];

/// An expression with names in place of numbers. None where one has no name here.
pub(super) fn spelled(tree: &str, names: &Names) -> Option<String> {
    let mut text = String::with_capacity(tree.len());
    let (mut field, mut constant, mut is_in_list) = ("", "", false);
    let mut words = tree.split(' ').peekable();
    while let Some(word) = words.next() {
        let value = word.trim_end_matches(['}', ')']);
        if field == ":consttype" {
            constant = value;
            if LISTS.contains(&value) || value.parse().is_ok_and(|oid: u32| names.enums.contains(&oid)) {
                return None;
            }
        }
        let is_object = is_in_list || is_object(field);
        let spelled =
            if is_object && is_number(value) { Cow::Borrowed(names.one(value)?) } else { Cow::Borrowed(value) };
        text.push_str(&spelled);
        text.push_str(&word[value.len()..]);
        text.push(' ');
        if word == "[" && REFERENCES.contains(&constant) {
            let bytes: Vec<&str> = std::iter::from_fn(|| words.next_if(|byte| !byte.starts_with(']'))).collect();
            text.push_str(&referred(&bytes, names)?);
        }
        is_in_list = (is_in_list || word == "(o") && value.len() == word.len();
        field = if is_field(word) { word } else { "" };
    }
    Some(text)
}

/// Names that somebody has given have a backslash before whatever could be mistaken for the end of a word.
fn is_field(word: &str) -> bool {
    let name = word.strip_prefix(':').unwrap_or_default();
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether the value of a field may be the number of an object. What is none is small, but for places in a text, lengths and
/// modifiers of types.
fn is_object(field: &str) -> bool {
    !field.is_empty() && !["location", "typmod", "len"].iter().any(|end| field.ends_with(end))
}

fn is_number(value: &str) -> bool {
    value.len() >= 5 && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// The object that the bytes of a value are the number of. It has eight of them, the lowest first on the machines there are.
fn referred(bytes: &[&str], names: &Names) -> Option<String> {
    let bytes = bytes.iter().map(|byte| byte.parse().ok()).collect::<Option<Vec<i16>>>()?;
    let bytes = bytes.into_iter().map(|byte| byte.to_le_bytes()[0]).collect::<Vec<u8>>();
    let oid = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    if oid < FIRST { Some(oid.to_string()) } else { names.one(&oid.to_string()).map(str::to_owned) }
}
