//! User metadata (`x-amz-meta-…`): texts that a client says of a content. They are its version's, as clients state there what holds of
//! these bytes alone: when they changed, their hash, what they are encrypted with. A file's own metadata is another thing. Pure.

use s3s::dto::{Metadata, MetadataDirective};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use serde_json::{Map, Value};

use crate::files::doors::Said;

/// Bytes of all names and values, as with S3.
const MOST_BYTES: usize = 2 * 1024;

/// Checks what is said, and gives it as it is stored; none where nothing is.
///
/// # Errors
/// `MetadataTooLarge`; `InvalidArgument` where it could not be told again in headers.
pub(super) fn read(metadata: Option<Metadata>) -> S3Result<Option<Value>> {
    let Some(metadata) = metadata.filter(|metadata| !metadata.is_empty()) else { return Ok(None) };
    let size: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > MOST_BYTES {
        return Err(S3Error::with_message(
            S3ErrorCode::MetadataTooLarge,
            format!("Names and values of metadata are {size} bytes. At most {MOST_BYTES} are kept."),
        ));
    }
    let mut said = Map::new();
    for (name, value) in metadata {
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(s3_error!(InvalidArgument, "a name of metadata can be no header's"));
        }
        // Encoded words (RFC 2047) can hold what headers can't.
        if value.chars().any(char::is_control) {
            return Err(s3_error!(InvalidArgument, "a value of metadata has control characters"));
        }
        said.insert(name.to_ascii_lowercase(), Value::String(value));
    }
    Ok(Some(Value::Object(said)))
}

/// What is said of a copy instead of what is said of its source; none where that goes with it.
///
/// # Errors
/// Those of [`read`]; `InvalidArgument` for a directive that is none.
pub(super) fn of_copy(directive: Option<&MetadataDirective>, metadata: Option<Metadata>) -> S3Result<Option<Said>> {
    match directive.map(MetadataDirective::as_str) {
        None | Some(MetadataDirective::COPY) => Ok(None),
        Some(MetadataDirective::REPLACE) => Ok(Some(Said(read(metadata)?))),
        Some(_) => Err(s3_error!(InvalidArgument, "the metadata directive is `COPY` or `REPLACE`")),
    }
}

/// What was said, to be told again.
pub(super) fn told(said: Option<&Value>) -> Option<Metadata> {
    let said = said?.as_object()?;
    Some(said.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> Option<Metadata> {
        Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn what_is_said_is_told_again() {
        let said = read(metadata(&[("mtime", "1.5"), ("Author", "Zoë")])).unwrap();
        assert_eq!(told(said.as_ref()), metadata(&[("mtime", "1.5"), ("author", "Zoë")]));
        assert!(read(metadata(&[])).unwrap().is_none());
        assert!(read(None).unwrap().is_none());
    }

    #[test]
    fn too_much_is_refused_to_the_byte() {
        let of = |length: usize| read(metadata(&[("name", &"x".repeat(length))]));
        assert!(of(MOST_BYTES - 4).is_ok());
        assert_eq!(of(MOST_BYTES - 3).unwrap_err().code(), &S3ErrorCode::MetadataTooLarge);
    }

    #[test]
    fn what_no_header_can_hold_is_refused() {
        for (name, value) in [("a b", ""), ("ä", ""), ("", "x"), ("a", "two\nlines"), ("a", "\0")] {
            assert_eq!(read(metadata(&[(name, value)])).unwrap_err().code(), &S3ErrorCode::InvalidArgument);
        }
    }
}
