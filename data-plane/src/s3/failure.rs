//! Our errors in S3's words.

use rowhouse_problem::{Code, Error};
use s3s::{S3Error, S3ErrorCode};

/// What an error means to a client of S3. Its cause goes to the log.
#[expect(clippy::wildcard_enum_match_arm, reason = "what S3 has no word for is told by its status")]
pub(super) fn failure(error: Error) -> S3Error {
    let code = match error.code() {
        Code::NotFound | Code::Gone => S3ErrorCode::NoSuchKey,
        Code::UnknownKey | Code::MalformedKey | Code::WrongKeyKind | Code::ExpiredKey | Code::RevokedKey => {
            S3ErrorCode::InvalidAccessKeyId
        }
        Code::MissingScope | Code::TenantSuspended | Code::OrganizationSuspended => S3ErrorCode::AccessDenied,
        Code::DigestMismatch => S3ErrorCode::BadDigest,
        Code::MalformedRequest => S3ErrorCode::IncompleteBody,
        Code::PreconditionFailed | Code::NameTaken => S3ErrorCode::PreconditionFailed,
        Code::NotEmpty => S3ErrorCode::BucketNotEmpty,
        Code::LimitReached => S3ErrorCode::TooManyBuckets,
        Code::RangeNotSatisfiable => S3ErrorCode::InvalidRange,
        Code::TooLarge => S3ErrorCode::EntityTooLarge,
        // Other servers of S3 call it so, too; clients don't try again.
        Code::QuotaExceeded => S3ErrorCode::Custom("QuotaExceeded".into()),
        Code::RateLimited => S3ErrorCode::SlowDown,
        Code::DeadlineExceeded => S3ErrorCode::RequestTimeout,
        _ if error.is_retryable() => S3ErrorCode::ServiceUnavailable,
        _ if error.code().status() < 500 => S3ErrorCode::InvalidArgument,
        _ => S3ErrorCode::InternalError,
    };
    if error.code().status() >= 500 {
        tracing::error!(code = error.code().as_str(), error = error.chain(), "request failed");
    }
    let is_quota = error.code() == Code::QuotaExceeded;
    let mut answer = S3Error::with_message(code, error.detail().to_owned());
    if is_quota {
        answer.set_status_code(http::StatusCode::FORBIDDEN);
    }
    answer
}

/// There is no such bucket, or none that the caller may know of.
pub(super) fn no_such_bucket() -> S3Error {
    S3Error::with_message(S3ErrorCode::NoSuchBucket, "The tenant has no such workspace.")
}

/// There is no such object.
pub(super) fn no_such_key() -> S3Error {
    S3Error::new(S3ErrorCode::NoSuchKey)
}
