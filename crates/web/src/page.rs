//! Lists in pages: `?limit=&cursor=` in, `{"items": […], "next_cursor": …}` out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rowhouse_problem::{Code, Error};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Items of a page where the caller names no number.
pub const DEFAULT_LIMIT: i64 = 50;
/// Most items of a page.
pub const MAX_LIMIT: i64 = 200;

/// The part of a query that chooses a page.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Most items to answer with, 1 to 200 (default 50).
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// The wanted number of items.
    ///
    /// # Errors
    /// Invalid, where it is outside 1 to 200.
    pub fn limit(&self) -> Result<i64, Error> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if (1..=MAX_LIMIT).contains(&limit) {
            Ok(limit)
        } else {
            Err(Error::invalid_field("limit", format!("must be between 1 and {MAX_LIMIT}")))
        }
    }

    /// The place after which the page begins, where one is given.
    ///
    /// # Errors
    /// `malformed_cursor`.
    pub fn after<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.cursor.as_deref().map(decode_cursor).transpose()
    }
}

/// Writes the sort key of a page's last item as a cursor.
pub fn encode_cursor(key: &impl Serialize) -> String {
    let json = serde_json::to_vec(key).expect("sort keys are plain values");
    URL_SAFE_NO_PAD.encode(json)
}

/// Reads a cursor back.
///
/// # Errors
/// `malformed_cursor`.
pub fn decode_cursor<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let json = URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| String::from_utf8(json).ok());
    // No key of ours has a NUL, and no text of PostgreSQL can.
    let json = json.filter(|json| !json.contains("\\u0000"));
    json.and_then(|json| serde_json::from_str(&json).ok()).ok_or_else(|| {
        Error::new(Code::MalformedCursor, "Use `next_cursor` of an earlier answer of the same list, unchanged.")
    })
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listing<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Listing<T> {
    /// A page out of up to `limit + 1` found items: the extra one only shows that there is a next page.
    pub fn new<K: Serialize>(mut items: Vec<T>, limit: i64, key: impl Fn(&T) -> K) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if more { items.last().map(|last| encode_cursor(&key(last))) } else { None };
        Self { items, next_cursor }
    }

    /// The same page with each item turned into something else.
    pub fn map<U>(self, view: impl FnMut(T) -> U) -> Listing<U> {
        Listing { items: self.items.into_iter().map(view).collect(), next_cursor: self.next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_full_page_has_a_next_one() {
        let page = Listing::new(vec![1, 2, 3], 2, |item| *item);
        assert_eq!(page.items, [1, 2]);
        assert_eq!(decode_cursor::<i32>(&page.next_cursor.unwrap()).unwrap(), 2);
        assert!(Listing::new(vec![1, 2], 2, |item| *item).next_cursor.is_none());
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_and_nonsense_never_panics(number: i64, text in "\\PC*") {
            let key = (number, text.clone());
            prop_assert_eq!(decode_cursor::<(i64, String)>(&encode_cursor(&key)).unwrap(), key);
            prop_assert!(decode_cursor::<(i64, String)>(&text).is_err());
        }
    }

    #[test]
    fn foreign_cursors_are_refused() {
        for text in ["", "%%%", "bm9uc2Vuc2U"] {
            assert_eq!(decode_cursor::<i32>(text).unwrap_err().code(), Code::MalformedCursor);
        }
    }
}
