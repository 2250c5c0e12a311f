//! How much of a resource one row of the log keeps.

use serde_json::{Value, json};

/// Largest view that is kept, in bytes of its JSON.
const MOST: usize = 64 * 1024;
/// Members up to this size are kept in any case: they say what the resource is.
const SMALL: usize = 256;

/// A view as it is kept: past the limit, its largest members are replaced by `{"omitted_bytes": n}` until it fits.
pub(super) fn fit(view: Value) -> Value {
    let mut size = length(&view);
    let Value::Object(mut members) = view else {
        return if size > MOST { omitted(size) } else { view };
    };
    let mut sizes: Vec<(usize, String)> =
        members.iter().map(|(name, member)| (length(member), name.clone())).filter(|(size, _)| *size > SMALL).collect();
    sizes.sort_unstable();
    while size > MOST {
        let Some((bytes, name)) = sizes.pop() else { return omitted(size) };
        size = size - bytes + length(&omitted(bytes));
        members.insert(name, omitted(bytes));
    }
    Value::Object(members)
}

fn omitted(bytes: usize) -> Value {
    json!({"omitted_bytes": bytes})
}

fn length(value: &Value) -> usize {
    value.to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_members_make_way() {
        let small = json!({"name": "a", "settings": {"a": "x".repeat(1000)}});
        assert_eq!(fit(small.clone()), small);
        let text = |bytes| "x".repeat(bytes);
        let large = fit(json!({"name": "a", "settings": text(40_000), "metadata": text(50_000)}));
        assert_eq!(large, json!({"name": "a", "settings": text(40_000), "metadata": {"omitted_bytes": 50_002}}));
        let huge = fit(json!({"a": text(70_000), "b": text(70_000), "c": 1}));
        assert_eq!(huge, json!({"a": {"omitted_bytes": 70_002}, "b": {"omitted_bytes": 70_002}, "c": 1}));
    }

    #[test]
    fn whatever_it_is_it_fits() {
        let many: serde_json::Map<String, Value> = (0..20_000).map(|number| (number.to_string(), json!("x"))).collect();
        for value in [json!("x".repeat(MOST + 1)), Value::Object(many)] {
            assert!(length(&fit(value)) <= MOST);
        }
    }
}
