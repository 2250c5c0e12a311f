//! What both HTTP services share, and nothing that knows a table.
//!
//! Every answer with an error is a problem document (RFC 9457); every answer carries `x-request-id`.

mod bearer;
mod conditional;
mod error;
mod extract;
mod finish;
mod idempotency;
mod observe;
mod operational;
mod page;
mod prefer;
mod problem_document;
mod rate_limit;
mod span;
mod timestamp;
mod usage;

pub use bearer::BearerKey;
pub use conditional::{ETag, IfMatch, IfNoneMatch};
pub use error::{ApiError, ApiResult};
pub use extract::{ApiJson, ApiPath, ApiQuery, parse_id};
pub use finish::{deadline, finish, no_such_route, within};
pub use idempotency::{IdempotencyKey, fingerprint};
pub use operational::{Readiness, metrics, operational};
pub use page::{DEFAULT_LIMIT, Listing, MAX_LIMIT, PageQuery, decode_cursor, encode_cursor};
pub use prefer::Prefer;
pub use problem_document::ProblemDocument;
pub use rate_limit::RATE_LIMIT_HEADERS;
pub use span::RequestSpan;
pub use timestamp::Timestamp;
pub use usage::{Step, UsageBucket, UsageFormat, UsageQuery};
