//! `Idempotency-Key`: a retried creation has one effect (draft-ietf-httpapi-idempotency-key-header-06).

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use rowhouse_problem::Error;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::ApiError;

/// Longest key that is kept.
const MAX_LENGTH: usize = 255;

/// The caller's key, where one was sent.
#[derive(Debug, Clone)]
pub struct IdempotencyKey(pub Option<String>);

impl FromRequest for IdempotencyKey {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let value = request.headers().get("idempotency-key");
        let key = value.map(|value| value.to_str().unwrap_or_default().trim().trim_matches('"').to_owned());
        let valid = key
            .as_ref()
            .is_none_or(|key| (1..=MAX_LENGTH).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
        ready(if valid {
            Ok(Self(key))
        } else {
            Err(Error::invalid_field("Idempotency-Key", "must be 1 to 255 visible ASCII characters").into())
        })
    }
}

/// A hash of what was asked for, to tell a retry from another request under the same key.
pub fn fingerprint(route: &str, request: &impl Serialize) -> Vec<u8> {
    let mut hasher = Sha256::new();
    hasher.update(route.as_bytes());
    hasher.update([0]);
    hasher.update(serde_json::to_vec(request).expect("requests are plain values"));
    hasher.finalize().to_vec()
}
