//! What a sender says of a content by S3, as `file_versions.user_metadata` has it: metadata of its own, and headers of the content,
//! which are told with it again. Pure.

use serde_json::{Map, Value};

/// Stands before the names of headers. No name of metadata has it.
pub(crate) const HEADER_MARK: char = ':';

/// The metadata, and the headers; none where there is none.
pub(super) fn split(said: Option<Value>) -> (Option<Value>, Option<Value>) {
    let Some(Value::Object(said)) = said else { return (None, None) };
    let (mut metadata, mut headers) = (Map::new(), Map::new());
    for (name, value) in said {
        match name.strip_prefix(HEADER_MARK) {
            Some(name) => headers.insert(name.to_owned(), value),
            None => metadata.insert(name, value),
        };
    }
    let some = |said: Map<String, Value>| Some(said).filter(|said| !said.is_empty()).map(Value::Object);
    (some(metadata), some(headers))
}
