//! Rate limits on the command line.

use std::str::FromStr;

use serde_json::{Value, json};

/// How `--rate-limit` is written.
pub(super) const FORM: &str = "SECOND/BURST|none|tier";

/// What a tenant or a key is to be limited to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RateLimit(Value);

impl RateLimit {
    /// As the API takes it.
    pub(super) fn into_body(self) -> Value {
        self.0
    }
}

impl FromStr for RateLimit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tier" => Ok(Self(Value::Null)),
            "none" => Ok(Self(json!({"per_second": 0, "burst": 0}))),
            _ => {
                let parts = text.split_once('/').and_then(|(per_second, burst)| {
                    Some((per_second.parse::<u32>().ok()?, burst.parse::<u32>().ok()?))
                });
                let (per_second, burst) = parts.ok_or("write it as 50/200 (a second/at once), `none` or `tier`")?;
                Ok(Self(json!({"per_second": per_second, "burst": burst})))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_two_numbers_or_a_word() {
        let read = |text: &str| text.parse::<RateLimit>().ok().map(RateLimit::into_body);
        assert_eq!(read("50/200"), Some(json!({"per_second": 50, "burst": 200})));
        assert_eq!(read("none"), Some(json!({"per_second": 0, "burst": 0})));
        assert_eq!(read("tier"), Some(Value::Null));
        for wrong in ["", "50", "50/", "/200", "-1/2", "a/b", "1/2/3"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
