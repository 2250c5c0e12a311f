//! What a failing blob store means to a caller.

use rowhouse_blobs::{BlobError, BlobKey};
use rowhouse_problem::{Code, Error};

use super::ReadError;

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Blob(error) => blob_failure(error),
            ReadError::Key(error) => Error::internal(error),
        }
    }
}

/// An object is not what was stored: a person must look, as at one that is missing.
pub(crate) fn damaged(object: BlobKey) -> Error {
    metrics::counter!("rowhouse_blobs_missing_total").increment(1);
    Error::unavailable(format!("{object} does not hash to what came"))
}

/// Never a fault of the caller: full is 507, everything else may be better later.
pub(crate) fn blob_failure(error: BlobError) -> Error {
    match error {
        BlobError::Full(_) => {
            Error::new(Code::InsufficientStorage, "The blob store has no room left.").caused_by(error)
        }
        // A row without its object is a loss of data: `finish` logs it as an error for a person to look at.
        BlobError::Unopenable { .. }
        | BlobError::Unreadable(_)
        | BlobError::NotFound { .. }
        | BlobError::OutOfRange { .. }
        | BlobError::Truncated { .. } => {
            metrics::counter!("rowhouse_blobs_missing_total").increment(1);
            Error::unavailable(error)
        }
        BlobError::Denied { .. } | BlobError::Unavailable(_) | BlobError::Broken | BlobError::Config(_) => {
            Error::unavailable(error)
        }
    }
}
