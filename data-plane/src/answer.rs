//! An answer that can be stored for a repeated request, and sent.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use rowhouse_web::ETag;
use serde::Serialize;

/// Status, headers and body of a JSON answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers beyond the content type.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Something was made and lies at `location`.
    pub fn created(location: String, etag: &ETag, view: &impl Serialize) -> Self {
        let headers = vec![("location".to_owned(), location), ("etag".to_owned(), etag.to_string())];
        Self { status: 201, headers, body: json(view) }
    }

    /// A job goes on with it, which lies at `location`.
    pub fn accepted(location: String, view: &impl Serialize) -> Self {
        Self { status: 202, headers: vec![("location".to_owned(), location)], body: json(view) }
    }

    /// It is done, and there is nothing to show.
    pub fn no_content() -> Self {
        Self { status: 204, headers: Vec::new(), body: Vec::new() }
    }

    /// It is done, and this is what came of it.
    pub fn done(view: &impl Serialize) -> Self {
        Self { status: 200, headers: Vec::new(), body: json(view) }
    }

    /// Something as it is now.
    pub fn ok(etag: &ETag, view: &impl Serialize) -> Self {
        Self { status: 200, headers: vec![("etag".to_owned(), etag.to_string())], body: json(view) }
    }
}

fn json(view: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(view).expect("views are plain values")
}

impl From<Answer> for HttpResponse {
    fn from(answer: Answer) -> Self {
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Self::build(status);
        for (name, value) in &answer.headers {
            response.insert_header((name.as_str(), value.as_str()));
        }
        response.content_type("application/json").body(answer.body)
    }
}
