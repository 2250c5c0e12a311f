//! Bodies, paths and queries: 400 for what can't be read, 422 for what can and is not valid.

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};
use futures::StreamExt;
use futures::future::LocalBoxFuture;
use rowhouse_problem::{Code, Error, FieldError};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// Largest JSON body; contents of files do not travel as JSON.
const MAX_JSON_BYTES: usize = 1024 * 1024;

/// A JSON body.
pub struct ApiJson<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for ApiJson<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let declared: Option<usize> =
            request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut payload = payload.take();
        Box::pin(async move {
            if let Some(kind) = kind
                && !kind.to_ascii_lowercase().starts_with("application/json")
            {
                let detail = format!("`{kind}` was sent where `application/json` is taken.");
                return Err(Error::new(Code::UnsupportedMediaType, detail).into());
            }
            if declared.is_some_and(|length| length > MAX_JSON_BYTES) {
                return Err(too_large().into());
            }
            let mut body = Vec::new();
            while let Some(chunk) = payload.next().await {
                let chunk: Bytes = chunk.map_err(|error| {
                    Error::new(Code::MalformedRequest, "The body ended early.").caused_by(error.to_string())
                })?;
                if body.len() + chunk.len() > MAX_JSON_BYTES {
                    return Err(too_large().into());
                }
                body.extend_from_slice(&chunk);
            }
            parse_json(&body).map(Self).map_err(ApiError)
        })
    }
}

fn too_large() -> Error {
    Error::new(Code::TooLarge, format!("A JSON body holds at most {MAX_JSON_BYTES} bytes."))
        .with("limit", MAX_JSON_BYTES)
}

/// Reads a JSON body; a field that is wrong or unknown is named by its JSON pointer.
fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        describe(&pointer, error.inner())
    })?;
    deserializer.end().map_err(|error| describe("", &error))?;
    Ok(value)
}

fn describe(pointer: &str, error: &serde_json::Error) -> Error {
    let text = error.to_string();
    // The position is of no use to a program and the pointer says more to a person.
    let reason = text.split(" at line ").next().unwrap_or(&text);
    match error.classify() {
        serde_json::error::Category::Data => {
            let pointer = match between_backticks(reason, "unknown field ")
                .or_else(|| between_backticks(reason, "missing field "))
            {
                Some(field) if !pointer.ends_with(&format!("/{field}")) => format!("{pointer}/{field}"),
                _ => pointer.to_owned(),
            };
            Error::invalid(vec![FieldError::new(pointer, reason)])
        }
        serde_json::error::Category::Io | serde_json::error::Category::Syntax | serde_json::error::Category::Eof => {
            Error::new(Code::MalformedJson, format!("{text}."))
        }
    }
}

fn between_backticks<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.strip_prefix('`')?.split('`').next()
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// A single id in the path, named in the route as `{id}`.
pub struct ApiPath<T>(pub T);

impl<T> FromRequest for ApiPath<T>
where
    T: FromStr + 'static,
    T::Err: std::fmt::Display,
{
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = request.match_info().iter().next().map_or("", |(_, value)| value);
        ready(parse_id(text).map(Self).map_err(ApiError))
    }
}

impl<T> ApiPath<T> {
    /// Reads another id of the path by its name in the route.
    ///
    /// # Errors
    /// `malformed_id`.
    pub fn named(request: &HttpRequest, name: &str) -> Result<T, Error>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        parse_id(request.match_info().query(name))
    }
}

/// Reads an id that came as text.
///
/// # Errors
/// `malformed_id`.
pub fn parse_id<T: FromStr>(text: &str) -> Result<T, Error>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| {
        let shown: String = text.chars().take(64).collect();
        Error::new(Code::MalformedId, format!("`{shown}` is no id: {error}."))
    })
}

/// The query of an address.
pub struct ApiQuery<T>(pub T);

impl<T: DeserializeOwned> FromRequest for ApiQuery<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(
            actix_web::web::Query::<T>::from_query(request.query_string())
                .map(|query| Self(query.into_inner()))
                .map_err(|error| ApiError(query_error(&error.to_string()))),
        )
    }
}

fn query_error(text: &str) -> Error {
    let reason = text.strip_prefix("Query deserialize error: ").unwrap_or(text);
    let field = between_backticks(reason, "unknown field ").or_else(|| between_backticks(reason, "missing field "));
    if reason.starts_with("expected an id") {
        return Error::new(Code::MalformedId, format!("A parameter of the query is no id: {reason}."));
    }
    Error::invalid(vec![FieldError::new(field.unwrap_or("query"), reason)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is looked at")]
    struct Body {
        name: String,
        #[serde(default)]
        limits: Vec<u8>,
    }

    fn check(body: &str, code: Code, pointer: Option<&str>) {
        let error = parse_json::<Body>(body.as_bytes()).unwrap_err();
        assert_eq!(error.code(), code, "{body}");
        assert_eq!(error.fields().first().map(|field| field.pointer.as_str()), pointer, "{body}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("{", Code::MalformedJson, None);
        check(r#"{"name": "a"} x"#, Code::MalformedJson, None);
        check(r#"{"name": 1}"#, Code::InvalidRequest, Some("/name"));
        check(r#"{}"#, Code::InvalidRequest, Some("/name"));
        check(r#"{"name": "a", "nam": 1}"#, Code::InvalidRequest, Some("/nam"));
        check(r#"{"name": "a", "limits": [1, 300]}"#, Code::InvalidRequest, Some("/limits/1"));
    }
}
