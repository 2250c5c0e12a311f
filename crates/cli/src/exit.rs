//! Ends that have an exit code of their own.

use std::fmt;

/// Not an accident, and not a success either.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) code: u8,
    reason: String,
}

impl Exit {
    pub(crate) fn new(code: u8, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for Exit {}
