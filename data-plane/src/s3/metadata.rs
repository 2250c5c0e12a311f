//! User metadata (`x-amz-meta-…`): texts that a client says of a content. They are its version's, as clients state there what holds of
//! these bytes alone: when they changed, their hash, what they are encrypted with. A file's own metadata is another thing. With it
//! go the [`Headers`] that are kept, as both are said, copied and replaced together. Pure.

use s3s::dto::{Metadata, MetadataDirective};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use serde_json::{Map, Value};

use super::headers::Headers;
use crate::files::doors::{HEADER_MARK, Said};

/// Bytes of all names and values, as with S3.
const MOST_BYTES: usize = 2 * 1024;

/// Checks what is said, and gives it as it is stored; none where nothing is.
///
/// # Errors
/// `MetadataTooLarge`; `InvalidArgument` where it could not be told again in headers.
pub(super) fn read(metadata: Option<Metadata>, headers: &Headers) -> S3Result<Option<Value>> {
    let metadata = metadata.unwrap_or_default();
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
    headers.add_to(&mut said)?;
    Ok(Some(said).filter(|said| !said.is_empty()).map(Value::Object))
}

/// What is said of a copy instead of what is said of its source; none where that goes with it.
///
/// # Errors
/// Those of [`read`]; `InvalidArgument` for a directive that is none.
pub(super) fn of_copy(
    directive: Option<&MetadataDirective>,
    metadata: Option<Metadata>,
    headers: &Headers,
) -> S3Result<Option<Said>> {
    match directive.map(MetadataDirective::as_str) {
        None | Some(MetadataDirective::COPY) => Ok(None),
        Some(MetadataDirective::REPLACE) => Ok(Some(Said(read(metadata, headers)?))),
        Some(_) => Err(s3_error!(InvalidArgument, "the metadata directive is `COPY` or `REPLACE`")),
    }
}

/// What was said, to be told again.
pub(super) fn told(said: Option<&Value>) -> Option<Metadata> {
    let said = said?.as_object()?;
    let own = said.iter().filter(|(name, _)| !name.starts_with(HEADER_MARK));
    Some(own.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> Option<Metadata> {
        Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn said(pairs: &[(&str, &str)]) -> S3Result<Option<Value>> {
        read(metadata(pairs), &Headers::default())
    }

    #[test]
    fn what_is_said_is_told_again() {
        let stored = said(&[("mtime", "1.5"), ("Author", "Zoë")]).unwrap();
        assert_eq!(told(stored.as_ref()), metadata(&[("mtime", "1.5"), ("author", "Zoë")]));
        assert!(said(&[]).unwrap().is_none());
        assert!(read(None, &Headers::default()).unwrap().is_none());
    }

    #[test]
    fn headers_are_no_metadata() {
        let headers = Headers { cache_control: Some("no-store".to_owned()), ..Headers::default() };
        let said = read(metadata(&[("cache-control", "mine")]), &headers).unwrap();
        assert_eq!(told(said.as_ref()), metadata(&[("cache-control", "mine")]));
        assert_eq!(Headers::of(said.as_ref()), headers);
        let error = read(metadata(&[(":cache-control", "mine")]), &headers).unwrap_err();
        assert_eq!(error.code(), &S3ErrorCode::InvalidArgument);
    }

    #[test]
    fn too_much_is_refused_to_the_byte() {
        let of = |length: usize| said(&[("name", &"x".repeat(length))]);
        assert!(of(MOST_BYTES - 4).is_ok());
        assert_eq!(of(MOST_BYTES - 3).unwrap_err().code(), &S3ErrorCode::MetadataTooLarge);
    }

    #[test]
    fn what_no_header_can_hold_is_refused() {
        for (name, value) in [("a b", ""), ("ä", ""), ("", "x"), ("a", "two\nlines"), ("a", "\0")] {
            assert_eq!(said(&[(name, value)]).unwrap_err().code(), &S3ErrorCode::InvalidArgument);
        }
    }
}
