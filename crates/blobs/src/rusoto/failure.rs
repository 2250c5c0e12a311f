//! Rusoto's errors in the words of `object_store`, and the few that are worth another attempt.

use std::error::Error as StdError;
use std::time::Duration;

use object_store::Error;
use object_store::path::Path;
use rusoto_core::RusotoError;
use rusoto_s3::GetObjectError;

/// The first attempt and three more, as with the other S3 client.
const ATTEMPTS: u32 = 4;

/// Rusoto has no time limits of its own; a part of 8 MiB must pass even at 300 KiB/s.
const DEADLINE: Duration = Duration::from_secs(30);

/// Makes a request until it is answered with something other than an outage.
///
/// Every request made through here may be repeated: keys are written once, and with the same bytes.
#[expect(clippy::result_large_err, reason = "the error is rusoto's, as large as it is")]
pub(super) async fn retrying<T, E, F>(request: impl Fn() -> F) -> Result<T, RusotoError<E>>
where
    F: Future<Output = Result<T, RusotoError<E>>>,
{
    let mut pause = Duration::from_millis(100);
    for _ in 1..ATTEMPTS {
        match tokio::time::timeout(DEADLINE, request()).await {
            Ok(Err(error)) if is_outage(&error) => {}
            Ok(result) => return result,
            Err(_) => return Err(timed_out()),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    tokio::time::timeout(DEADLINE, request()).await.unwrap_or_else(|_| Err(timed_out()))
}

fn timed_out<E>() -> RusotoError<E> {
    RusotoError::HttpDispatch(rusoto_core::request::HttpDispatchError::new("no answer in time".to_owned()))
}

fn is_outage<E>(error: &RusotoError<E>) -> bool {
    match error {
        RusotoError::HttpDispatch(_) => true,
        RusotoError::Unknown(response) => response.status.is_server_error() || response.status.as_u16() == 429,
        RusotoError::Service(_)
        | RusotoError::Credentials(_)
        | RusotoError::Validation(_)
        | RusotoError::ParseError(_)
        | RusotoError::Blocking => false,
    }
}

/// Says what an error means for the object at `path`.
pub(super) fn failed<E: StdError + Send + Sync + 'static>(error: RusotoError<E>, path: &Path) -> Error {
    let status = match &error {
        RusotoError::Unknown(response) => response.status.as_u16(),
        RusotoError::Credentials(_) => 401,
        RusotoError::Service(_)
        | RusotoError::HttpDispatch(_)
        | RusotoError::Validation(_)
        | RusotoError::ParseError(_)
        | RusotoError::Blocking => 0,
    };
    let path = path.to_string();
    let source = Box::new(error);
    match status {
        304 => Error::NotModified { path, source },
        401 => Error::Unauthenticated { path, source },
        403 => Error::PermissionDenied { path, source },
        404 => Error::NotFound { path, source },
        412 => Error::Precondition { path, source },
        _ => generic(source),
    }
}

/// The one request whose missing object has a type of its own.
pub(super) fn of_get(error: RusotoError<GetObjectError>, path: &Path) -> Error {
    if let RusotoError::Service(GetObjectError::NoSuchKey(_)) = &error {
        return Error::NotFound { path: path.to_string(), source: Box::new(error) };
    }
    failed(error, path)
}

pub(super) fn generic(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::Generic { store: "Rusoto", source: source.into() }
}
