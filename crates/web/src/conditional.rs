//! Entity tags and the preconditions that use them (RFC 9110 §8.8.3, §13.1).

use std::fmt;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderName};
use actix_web::{FromRequest, HttpRequest};
use jiff::Timestamp;
use rowhouse_problem::{Code, Error};

use crate::error::ApiError;

/// A strong entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// The tag of a row: it changes whenever the row does.
    pub fn of_row(updated_at: Timestamp) -> Self {
        Self(format!("\"{:x}\"", updated_at.as_microsecond()))
    }

    /// The tag of a content: its hash.
    pub fn of_content(sha256: &[u8]) -> Self {
        Self(format!("\"{}\"", hex::encode(sha256)))
    }

    /// The tag as it stands in a header, quotes included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A list of tags, or `*`, or no such header.
#[derive(Debug, Clone, Default)]
struct Tags(Option<Vec<String>>);

impl Tags {
    fn read(request: &HttpRequest, name: &HeaderName) -> Self {
        let mut values = request.headers().get_all(name).peekable();
        if values.peek().is_none() {
            return Self(None);
        }
        Self(Some(values.filter_map(|value| value.to_str().ok()).flat_map(split).collect()))
    }

    fn contain(&self, tag: &ETag) -> bool {
        self.0.iter().flatten().any(|one| one == "*" || one == tag.as_str())
    }
}

fn split(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(|tag| tag.trim().to_owned())
}

/// `If-Match`: change it only if it is still what the caller read.
#[derive(Debug, Clone, Default)]
pub struct IfMatch(Tags);

impl IfMatch {
    /// As if the header had named this tag, without its quotes.
    pub fn one(tag: &str) -> Self {
        Self(Tags(Some(vec![format!("\"{tag}\"")])))
    }

    /// As if the header had held this text; none stands for no header.
    pub fn from_text(text: Option<&str>) -> Self {
        Self(Tags(text.map(|list| split(list).collect())))
    }

    /// Whether the header was sent at all.
    pub fn is_present(&self) -> bool {
        self.0.0.is_some()
    }

    /// Refuses the change where the caller named tags and none is the current one.
    ///
    /// # Errors
    /// `precondition_failed`.
    pub fn check(&self, current: &ETag) -> Result<(), Error> {
        if self.0.0.is_none() || self.0.contain(current) {
            Ok(())
        } else {
            let detail = format!("Its entity tag is {current} now. Read it again and repeat the change.");
            Err(Error::new(Code::PreconditionFailed, detail))
        }
    }
}

impl FromRequest for IfMatch {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(Tags::read(request, &header::IF_MATCH))))
    }
}

/// `If-None-Match`: send it only if it is not what the caller has.
#[derive(Debug, Clone, Default)]
pub struct IfNoneMatch(Tags);

impl IfNoneMatch {
    /// Whether the header was sent at all.
    pub fn is_present(&self) -> bool {
        self.0.0.is_some()
    }

    /// Whether the caller has it already; weak comparison, as the RFC asks for this header.
    pub fn matches(&self, current: &ETag) -> bool {
        let weak = |tag: &String| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == current.as_str();
        self.0.0.iter().flatten().any(weak)
    }
}

impl FromRequest for IfNoneMatch {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(Tags::read(request, &header::IF_NONE_MATCH))))
    }
}
