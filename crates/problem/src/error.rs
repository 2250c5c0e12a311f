//! The one error type that behaviours and stores return.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::catalogue::Code;

/// Shorthand for what nearly every function of both planes returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Something that went wrong: a code, a text for the caller, and a cause for the log.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: String,
    fields: Vec<FieldError>,
    extensions: Map<String, Value>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// One field of a request that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where it is: a JSON pointer (RFC 6901) into the body, or the name of a query parameter.
    pub pointer: String,
    /// What is wrong with it and what would be right.
    pub detail: String,
}

impl FieldError {
    /// A complaint about the field at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self { pointer: pointer.into(), detail: detail.to_string() }
    }
}

/// Members that no extension may replace.
const OWN_MEMBERS: [&str; 7] = ["type", "title", "status", "detail", "code", "request_id", "errors"];

/// How long a client should wait where we can't tell better.
const DEFAULT_RETRY: Duration = Duration::from_secs(1);

impl Error {
    /// An error of the catalogue; `detail` says what happened this time and what to do about it.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after = matches!(code.status(), 503 | 504).then_some(DEFAULT_RETRY);
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            fields: Vec::new(),
            extensions: Map::new(),
            retry_after,
            source: None,
        }))
    }

    /// No such thing, or none that the caller may know of.
    pub fn not_found(kind: &str, id: impl fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("There is no {kind} `{id}`."))
    }

    /// A request that can be read but breaks rules; every complaint at once.
    pub fn invalid(fields: Vec<FieldError>) -> Self {
        let detail = match fields.as_slice() {
            [only] => format!("`{}` {}.", only.pointer, only.detail),
            many => format!("{} fields are not valid.", many.len()),
        };
        let mut error = Self::new(Code::InvalidRequest, detail);
        error.0.fields = fields;
        error
    }

    /// One field that breaks a rule.
    pub fn invalid_field(pointer: &str, detail: impl fmt::Display) -> Self {
        Self::invalid(vec![FieldError::new(pointer, detail)])
    }

    /// A fault of ours; the cause goes to the log only.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Code::Internal, "The request id names this occurrence in our logs.").caused_by(source)
    }

    /// Something that this service needs does not answer; the cause goes to the log only.
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Code::Unavailable, "Try again in a moment.").caused_by(source)
    }

    /// Adds a member to the problem document.
    ///
    /// # Panics
    /// In debug builds, where the name is one of the document's own members (RFC 9457 §3.1).
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        debug_assert!(!OWN_MEMBERS.contains(&name), "`{name}` is a member that every problem has");
        self.0.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// Says when trying again makes sense.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same once more, for somebody else who waited for the same outcome.
    #[must_use]
    pub fn repeated(&self) -> Self {
        let Inner { code, detail, fields, extensions, retry_after, source } = &*self.0;
        Self(Box::new(Inner {
            code: *code,
            detail: detail.clone(),
            fields: fields.clone(),
            extensions: extensions.clone(),
            retry_after: *retry_after,
            source: source.as_ref().map(|source| source.to_string().into()),
        }))
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What happened this time.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The fields complained about.
    pub fn fields(&self) -> &[FieldError] {
        &self.0.fields
    }

    /// Further members of the problem document.
    pub fn extensions(&self) -> &Map<String, Value> {
        &self.0.extensions
    }

    /// When to try again, where that makes sense.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.0.retry_after.is_some()
    }

    /// The whole chain of causes in one line, for the log.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.0.code.as_str(), self.0.detail)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_in_the_chain_and_not_in_the_text() {
        let error = Error::internal("connection to db-7 refused");
        assert!(!error.to_string().contains("db-7"));
        assert!(error.chain().contains("db-7"));
    }
}
