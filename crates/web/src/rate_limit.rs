//! The fields that tell a caller how it stands with the limits on its requests.

use actix_web::http::header::HeaderName;

/// Names of the fields as draft-ietf-httpapi-ratelimit-headers-06 §5 has them, the last draft in which each number has a field
/// of its own: what a caller may send at once, how much of it is left, the seconds until it is whole again, and the policy. An
/// answer of a service that has them keeps them when it becomes a problem document.
pub const RATE_LIMIT_HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
    HeaderName::from_static("ratelimit-policy"),
];
