//! `Authorization: Bearer <API key>` (RFC 6750 §2.1).

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use rowhouse_keys::PlainApiKey;
use rowhouse_problem::{Code, Error};

use crate::error::ApiError;

/// A well-formed key that nobody has looked up yet.
pub struct BearerKey(pub PlainApiKey);

impl BearerKey {
    /// Reads the key of a request.
    ///
    /// # Errors
    /// `missing_credentials` or `malformed_key`, both without any look-up.
    pub fn read(request: &HttpRequest) -> Result<PlainApiKey, Error> {
        let missing = || Error::new(Code::MissingCredentials, "Send `Authorization: Bearer <API key>`.");
        let value = request.headers().get(header::AUTHORIZATION).ok_or_else(missing)?;
        let text = value.to_str().map_err(|_| malformed())?;
        let (scheme, token) = text.split_once(' ').ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        PlainApiKey::parse(token.trim()).map_err(|_| malformed())
    }
}

fn malformed() -> Error {
    metrics::counter!("rowhouse_keys_malformed_total").increment(1);
    Error::new(
        Code::MalformedKey,
        "The text has not the form of an API key, or a character of it is wrong. Copy it again.",
    )
}

impl FromRequest for BearerKey {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::read(request).map(Self).map_err(ApiError))
    }
}
