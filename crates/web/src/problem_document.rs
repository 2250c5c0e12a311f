//! The body of every error: RFC 9457, `application/problem+json`.

use rowhouse_problem::{Error, FieldError};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Media type of a problem document (RFC 9457 §3).
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, for programs (`code`) and for people (`detail`).
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDocument {
    /// A stable reference that ends in the code.
    #[serde(rename = "type")]
    #[schema(example = "https://rowhouse.dev/problems/tenant_name_taken")]
    kind: String,
    /// The same for every occurrence of the code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened this time and what to do about it.
    detail: String,
    /// The stable code that programs tell problems apart by.
    code: &'static str,
    /// Names this occurrence in our logs.
    request_id: String,
    /// The fields that are not valid, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    errors: Vec<FieldError>,
    /// Further members that some codes have, such as `level`, `limit` and `used` of `quota_exceeded`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    extensions: Map<String, Value>,
}

impl ProblemDocument {
    /// The public part of an error.
    pub fn new(error: &Error, request_id: String) -> Self {
        let code = error.code();
        Self {
            kind: format!("https://rowhouse.dev/problems/{}", code.as_str()),
            title: code.title(),
            status: code.status(),
            detail: error.detail().to_owned(),
            code: code.as_str(),
            request_id,
            errors: error.fields().to_vec(),
            extensions: error.extensions().clone(),
        }
    }
}
