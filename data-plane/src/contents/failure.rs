//! What a failing blob store means to a caller.

use rowhouse_blobs::BlobError;
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
