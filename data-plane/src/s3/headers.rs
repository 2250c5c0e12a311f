//! Headers of a content that its sender states and that are told with it again: how to keep, save and decode it. A request to
//! read may ask for others in their place (`response-…`). Pure.

use http::HeaderValue;
use s3s::dto::{
    CopyObjectInput, CreateMultipartUploadInput, GetObjectInput, HeadObjectInput, PutObjectInput, Timestamp,
    TimestampFormat,
};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use serde_json::{Map, Value};

use crate::files::doors::HEADER_MARK;

/// Bytes of all values, as with S3.
const MOST_BYTES: usize = 2 * 1024;

/// What is stated, or told.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Headers {
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) expires: Option<Timestamp>,
}

macro_rules! stated_by {
    ($($input:ty),+) => {$(
        impl From<&$input> for Headers {
            fn from(input: &$input) -> Self {
                Self {
                    cache_control: input.cache_control.clone(),
                    content_disposition: input.content_disposition.clone(),
                    content_encoding: input.content_encoding.clone(),
                    content_language: input.content_language.clone(),
                    expires: input.expires.clone(),
                }
            }
        }
    )+};
}
stated_by!(PutObjectInput, CreateMultipartUploadInput, CopyObjectInput);

macro_rules! wished_by {
    ($($input:ty),+) => {$(
        impl From<&$input> for Headers {
            fn from(input: &$input) -> Self {
                Self {
                    cache_control: input.response_cache_control.clone(),
                    content_disposition: input.response_content_disposition.clone(),
                    content_encoding: input.response_content_encoding.clone(),
                    content_language: input.response_content_language.clone(),
                    expires: input.response_expires.clone(),
                }
            }
        }
    )+};
}
wished_by!(GetObjectInput, HeadObjectInput);

impl Headers {
    /// The texts by their names.
    fn texts(&self) -> [(&'static str, Option<String>); 5] {
        let expires = self.expires.as_ref().and_then(|time| {
            let mut text = Vec::new();
            time.format(TimestampFormat::HttpDate, &mut text).ok()?;
            String::from_utf8(text).ok()
        });
        [
            ("cache-control", self.cache_control.clone()),
            ("content-disposition", self.content_disposition.clone()),
            ("content-encoding", self.content_encoding.as_deref().and_then(own_encoding)),
            ("content-language", self.content_language.clone()),
            ("expires", expires),
        ]
    }

    /// Adds them to what is said of a content.
    ///
    /// # Errors
    /// `MetadataTooLarge`; `InvalidArgument` where one could not be told again.
    pub(super) fn add_to(&self, said: &mut Map<String, Value>) -> S3Result<()> {
        let mut size = 0;
        for (name, text) in self.texts() {
            let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
            size += text.len();
            check(&text)?;
            said.insert(format!("{HEADER_MARK}{name}"), Value::String(text));
        }
        if size > MOST_BYTES {
            let message =
                format!("Headers of the content are {size} bytes. At most {MOST_BYTES} are kept beside its type.");
            return Err(S3Error::with_message(S3ErrorCode::MetadataTooLarge, message));
        }
        Ok(())
    }

    /// Those that were stated with a content.
    pub(super) fn of(said: Option<&Value>) -> Self {
        let text = |name: &str| {
            let text = said?.get(format!("{HEADER_MARK}{name}"))?.as_str()?;
            Some(text.to_owned())
        };
        Self {
            cache_control: text("cache-control"),
            content_disposition: text("content-disposition"),
            content_encoding: text("content-encoding"),
            content_language: text("content-language"),
            expires: text("expires").and_then(|text| Timestamp::parse(TimestampFormat::HttpDate, &text).ok()),
        }
    }

    /// These where they are wished for, and `others` for the rest. What no header can hold is refused before.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            cache_control: self.cache_control.or(others.cache_control),
            content_disposition: self.content_disposition.or(others.content_disposition),
            content_encoding: self.content_encoding.or(others.content_encoding),
            content_language: self.content_language.or(others.content_language),
            expires: self.expires.or(others.expires),
        }
    }
}

/// Refuses what no header can hold.
///
/// # Errors
/// `InvalidArgument`.
fn check(text: &str) -> S3Result<()> {
    HeaderValue::from_str(text).map(drop).map_err(|_| s3_error!(InvalidArgument, "no header can have this value"))
}

/// The content's encoding without the one that is the request's alone and gone when the content has come.
fn own_encoding(stated: &str) -> Option<String> {
    let own: Vec<&str> =
        stated.split(',').map(str::trim).filter(|one| !one.eq_ignore_ascii_case("aws-chunked")).collect();
    Some(own.join(", ")).filter(|own| !own.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str) -> Headers {
        Headers { content_encoding: Some(text.to_owned()), ..Headers::default() }
    }

    fn kept(headers: &Headers) -> S3Result<Headers> {
        let mut said = Map::new();
        headers.add_to(&mut said)?;
        Ok(Headers::of(Some(&Value::Object(said))))
    }

    #[test]
    fn what_is_stated_is_told_again() {
        let headers = Headers {
            cache_control: Some("max-age=60".to_owned()),
            content_disposition: Some("attachment; filename=a".to_owned()),
            content_encoding: Some("gzip".to_owned()),
            content_language: Some("de".to_owned()),
            expires: Some(Timestamp::parse(TimestampFormat::HttpDate, "Wed, 21 Oct 2026 07:28:00 GMT").unwrap()),
        };
        assert_eq!(kept(&headers).unwrap(), headers);
        assert_eq!(kept(&Headers::default()).unwrap(), Headers::default());
    }

    #[test]
    fn an_encoding_of_the_request_is_not_the_contents() {
        for (stated, own) in
            [("aws-chunked", None), ("aws-chunked,gzip", Some("gzip")), ("br, AWS-Chunked", Some("br")), ("", None)]
        {
            assert_eq!(kept(&encoded(stated)).unwrap().content_encoding.as_deref(), own, "{stated}");
        }
    }

    #[test]
    fn too_much_is_refused_to_the_byte() {
        assert!(kept(&encoded(&"x".repeat(MOST_BYTES))).is_ok());
        let error = kept(&encoded(&"x".repeat(MOST_BYTES + 1))).unwrap_err();
        assert_eq!(error.code(), &S3ErrorCode::MetadataTooLarge);
    }

    #[test]
    fn a_wish_comes_before_what_was_stated() {
        let told = encoded("br").or(Headers { cache_control: Some("no-store".to_owned()), ..encoded("gzip") });
        assert_eq!(told, Headers { cache_control: Some("no-store".to_owned()), ..encoded("br") });
    }
}
