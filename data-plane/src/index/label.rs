//! What an item is called and described by, as text. Pure.

use serde_json::Value;

/// Metadata beyond this is not searched (the table holds 64 KiB).
const MAX_BYTES: usize = 32 * 1024;

/// Deeper metadata is not searched.
const MAX_DEPTH: usize = 16;

/// Name and description of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    /// The name.
    pub(super) name: String,
    /// Tags, then keys and values of the metadata.
    pub(super) metadata: String,
}

impl Label {
    /// The label of an item with these properties.
    pub(super) fn new(name: &str, tags: &[String], metadata: &Value) -> Self {
        let mut text = String::new();
        for tag in tags {
            push(&mut text, tag);
        }
        describe(&mut text, metadata, 0);
        Self { name: clean(name), metadata: text }
    }

    /// Name and description in one text.
    pub(super) fn text(&self) -> String {
        if self.metadata.is_empty() { self.name.clone() } else { format!("{}\n{}", self.name, self.metadata) }
    }
}

/// Adds the words of a JSON value: `{"project": {"code": "A-7"}}` reads `project code A-7`.
fn describe(text: &mut String, value: &Value, depth: usize) {
    if depth > MAX_DEPTH || text.len() >= MAX_BYTES {
        return;
    }
    match value {
        Value::Null => {}
        Value::Bool(value) => push(text, if *value { "true" } else { "false" }),
        Value::Number(value) => push(text, &value.to_string()),
        Value::String(value) => push(text, value),
        Value::Array(values) => values.iter().for_each(|value| describe(text, value, depth + 1)),
        Value::Object(members) => {
            for (key, value) in members {
                push(text, key);
                describe(text, value, depth + 1);
            }
        }
    }
}

fn push(text: &mut String, words: &str) {
    let words = clean(words);
    let room = MAX_BYTES.saturating_sub(text.len() + 1);
    if words.is_empty() || room == 0 {
        return;
    }
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(&words[..words.floor_char_boundary(room)]);
}

/// Control characters are of no use in words, and PostgreSQL takes no NUL.
fn clean(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tags_keys_and_values_become_words() {
        let label = Label::new(
            "plan.md",
            &["red".to_owned()],
            &json!({"project": {"code": "A-7"}, "years": [2025, null, true]}),
        );
        assert_eq!(label.metadata, "red project code A-7 years 2025 true");
        assert_eq!(label.text(), "plan.md\nred project code A-7 years 2025 true");
        assert_eq!(Label::new("a", &[], &json!({})).text(), "a");
    }

    #[test]
    fn whatever_it_holds_it_fits() {
        let label = Label::new("a\u{0}b", &["é".repeat(MAX_BYTES), "x".to_owned()], &json!({"k": "v\u{0}"}));
        assert_eq!(label.name, "a b");
        assert!(label.metadata.len() <= MAX_BYTES && !label.metadata.contains('\0'));
        let mut deep = json!("bottom");
        for _ in 0..100 {
            deep = json!([deep]);
        }
        assert_eq!(Label::new("a", &[], &deep).metadata, "");
    }
}
