//! What can go wrong with a blob, in terms that a caller can act on.
//!
//! Invariant: no credential, signature or response body of a refused request is in any of these errors.

use std::error::Error;
use std::io::ErrorKind;

use rustix::io::Errno;

use crate::key::BlobKey;

type Source = Box<dyn Error + Send + Sync + 'static>;

/// Why an operation on blobs failed.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no such blob.
    #[error("blob {key} does not exist")]
    NotFound {
        /// The blob asked for.
        key: BlobKey,
    },
    /// The requested range begins at or after the blob's end.
    #[error("the range lies outside the blob's {size} bytes")]
    OutOfRange {
        /// The blob's size in bytes.
        size: u64,
    },
    /// The blob ended before its announced size.
    #[error("the blob ended after {received} of {expected} bytes")]
    Truncated {
        /// How many bytes were announced.
        expected: u64,
        /// How many bytes came.
        received: u64,
    },
    /// A sealed blob does not open: it was changed, is another's, or was sealed under another key.
    #[error("blob {key} does not open under its key")]
    Unopenable {
        /// The blob.
        key: BlobKey,
    },
    /// The store has the blob and can't give its bytes: a sector of its disk is bad, or a file system found them altered.
    #[error("the store can't read a blob that it has")]
    Unreadable(#[source] std::io::Error),
    /// The place where blobs lie has no room left.
    #[error("the blob store is full")]
    Full(#[source] Source),
    /// The store refused our credentials.
    #[error("the blob store refused our credentials ({reason})")]
    Denied {
        /// The store's error code, such as `SignatureDoesNotMatch`.
        reason: String,
    },
    /// The store did not answer, or not as it should; trying again later may help.
    #[error("the blob store is not available")]
    Unavailable(#[source] Source),
    /// A writer was used again after one of its calls had failed or had been cancelled.
    #[error("the blob's writer had failed before")]
    Broken,
    /// The settings can't work.
    #[error("blob settings: {0}")]
    Config(String),
}

impl BlobError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Full(_) | Self::Unavailable(_) | Self::Truncated { .. } => true,
            Self::NotFound { .. }
            | Self::OutOfRange { .. }
            | Self::Unopenable { .. }
            | Self::Unreadable(_)
            | Self::Denied { .. }
            | Self::Broken
            | Self::Config(_) => false,
        }
    }

    pub(crate) fn unavailable(source: impl Into<Source>) -> Self {
        Self::Unavailable(source.into())
    }

    /// Says what it means that a file was opened and can't be read.
    pub(crate) fn of_file(error: std::io::Error) -> Self {
        // What disks and file systems say of these bytes alone; anything else may pass, as of a file on a network.
        match Errno::from_io_error(&error) {
            Some(Errno::IO | Errno::BADMSG | Errno::UCLEAN) => Self::Unreadable(error),
            Some(_) | None => Self::Unavailable(error.into()),
        }
    }

    /// Says what an error of the object store means for `key`.
    pub(crate) fn of_object(error: object_store::Error, key: BlobKey) -> Self {
        // A missing bucket is an outage, not a missing blob: every blob would seem lost.
        if let object_store::Error::NotFound { source, .. } = &error
            && !source.to_string().contains("NoSuchBucket")
        {
            return Self::NotFound { key };
        }
        Self::of_store(error)
    }

    /// Says what an error of the object store means where no single blob is concerned.
    pub(crate) fn of_store(error: object_store::Error) -> Self {
        if let object_store::Error::Unauthenticated { source, .. }
        | object_store::Error::PermissionDenied { source, .. } = &error
        {
            return Self::Denied { reason: error_code(&source.to_string()) };
        }
        if is_full(&error) { Self::Full(error.into()) } else { Self::Unavailable(error.into()) }
    }
}

/// Picks the error code out of an S3 answer, whose other parts may hold key ids and signatures.
fn error_code(answer: &str) -> String {
    let code = answer.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    match code {
        Some(code) if !code.is_empty() && code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            code.to_owned()
        }
        Some(_) | None => "access denied".to_owned(),
    }
}

fn is_full(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
        {
            return true;
        }
        cause = current.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_code_of_a_refusal_is_kept() {
        let answer = "403: <Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIA1</AWSAccessKeyId></Error>";
        assert_eq!(error_code(answer), "SignatureDoesNotMatch");
        assert_eq!(error_code("<Code>Signature=abc/def</Code>"), "access denied");
        assert_eq!(error_code("nothing"), "access denied");
    }

    #[test]
    fn a_full_disk_is_recognised_behind_its_wrappers() {
        let io = std::io::Error::from(ErrorKind::StorageFull);
        let error = object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(io) };
        assert!(matches!(BlobError::of_store(error), BlobError::Full(_)));
    }
}
