//! What `rowhouse migrate verify --repair-plan` prints: a script for psql, schema by schema.

use serde_json::Value;

/// In which order objects are brought back: those first that others need.
const ORDER: [&str; 8] = ["function", "table", "column", "constraint", "trigger", "policy", "statistics", "grant"];

/// The script for schemas that differ.
pub(super) fn of(schemas: &[Value]) -> String {
    let mut script = String::from("\\set ON_ERROR_STOP on\n");
    for schema in schemas {
        one(schema, &mut script);
    }
    script
}

fn one(schema: &Value, script: &mut String) {
    let text = |name: &str| schema[name].as_str().unwrap_or_default();
    script.push_str(&format!("\n-- {}\n", text("name").replace(['\n', '\r'], " ")));
    if let Some(error) = schema["error"].as_str() {
        script.push_str(&format!("-- by hand: it could not be read: {}\n", error.replace(['\n', '\r'], " ")));
        return;
    }
    let mut differences: Vec<&Value> = schema["differences"].as_array().into_iter().flatten().collect();
    differences.sort_by_key(|one| ORDER.iter().position(|kind| one["kind"] == *kind).unwrap_or(ORDER.len()));
    let repairs = |is_outside: bool| {
        differences
            .iter()
            .filter(move |one| one["is_outside"] == is_outside)
            .filter_map(|one| one["repair"].as_str())
            .collect::<Vec<_>>()
    };
    let (within, outside) = (repairs(false), repairs(true));
    if !within.is_empty() || !outside.is_empty() {
        script.push_str(&format!(
            "\\connect {}\nset role rowhouse_owner;\nset search_path = {}, extensions, pg_temp;\nset lock_timeout = '3s';\n",
            quoted(text("database_name")),
            quoted(text("schema_name"))
        ));
    }
    if !within.is_empty() {
        script.push_str(&format!("begin;\n{}\ncommit;\n", within.join("\n")));
    }
    if !outside.is_empty() {
        // What it waits for lets everybody else go on.
        script.push_str(&format!("reset lock_timeout;\n{}\n", outside.join("\n")));
    }
    for one in &differences {
        if let Some(reason) = one["by_hand"].as_str() {
            let (kind, name) = (one["kind"].as_str().unwrap_or_default(), one["name"].as_str().unwrap_or_default());
            script.push_str(&format!("-- by hand: {kind} {}: {reason}\n", name.replace(['\n', '\r'], " ")));
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_need_comes_first_and_what_can_not_be_in_a_transaction_last() {
        let difference = |kind: &str, repair: Option<&str>, is_outside: bool, by_hand: Option<&str>| json!({"kind": kind, "name": "x", "repair": repair, "is_outside": is_outside, "by_hand": by_hand});
        let schema = json!({"name": "acme\ndrop", "database_name": "tenant_1", "schema_name": "a\"b", "differences": [
            difference("grant", Some("grant;"), false, None),
            difference("function", Some("function;"), false, None),
            difference("index", Some("create index concurrently;"), true, None),
            difference("table", None, false, Some("its rows are gone")),
        ]});
        let expected = "\\set ON_ERROR_STOP on\n\n-- acme drop\n\\connect \"tenant_1\"\nset role rowhouse_owner;\n\
            set search_path = \"a\"\"b\", extensions, pg_temp;\nset lock_timeout = '3s';\nbegin;\nfunction;\ngrant;\ncommit;\n\
            reset lock_timeout;\ncreate index concurrently;\n-- by hand: table x: its rows are gone\n";
        assert_eq!(of(&[schema]), expected);
    }
}
