//! An HTTP client with one key, whose answers say what they are when they are not as expected.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Body, Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// The services close connections that were idle for five seconds: one that is taken up again just then has no answer.
const IDLE: Duration = Duration::from_secs(3);

/// A service as the holder of one key sees it.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Client {
    /// A client for the service at `base`, with a key or without.
    pub fn new(base: &str, key: Option<&str>) -> Self {
        let http = reqwest::Client::builder().pool_idle_timeout(IDLE).build().expect("an HTTP client can be made");
        Self { http, base: base.to_owned(), key: key.map(str::to_owned) }
    }

    /// The same service with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// The same service without a key.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// The address of the service.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The key, for a test that sends it by other means.
    ///
    /// # Panics
    /// Where the client has none.
    pub fn key(&self) -> &str {
        self.key.as_deref().expect("this client has a key")
    }

    /// A request to be changed further before it is sent with [`Answer::of`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Whether a route of the service answers that all is well.
    pub(crate) async fn succeeds(&self, path: &str) -> bool {
        let answer = self.http.get(format!("{}{path}", self.base)).timeout(Duration::from_secs(2)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    /// `PATCH` with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::PATCH, path).json(body)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// `POST` with a raw body.
    pub async fn upload(&self, path: &str, content: impl Into<Body>) -> Answer {
        Answer::of(self.request(Method::POST, path).body(content)).await
    }
}

/// What a service answered.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub bytes: Vec<u8>,
    what: String,
}

impl Answer {
    /// Sends a request.
    ///
    /// # Panics
    /// Where there is no answer at all.
    pub async fn of(request: RequestBuilder) -> Self {
        let (client, request) = request.build_split();
        let request = request.expect("the request is well formed");
        let what = format!("{} {}", request.method(), request.url());
        let response = client.execute(request).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap_or_else(|error| panic!("{what}: {error:?}")).to_vec();
        Self { status, headers, bytes, what }
    }

    /// Asserts the status.
    ///
    /// # Panics
    /// Where it is another one, showing the answer.
    #[must_use]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}\n{}", self.what, String::from_utf8_lossy(&self.bytes));
        self
    }

    /// Asserts that a refusal is the caller's fault and says so in a problem document.
    ///
    /// # Panics
    /// Where it is not, showing the request.
    #[track_caller]
    pub fn expect_of_caller(&self, asked: &str) {
        let said = || format!("{asked}\n{}\n{}", self.status, String::from_utf8_lossy(&self.bytes));
        assert!(!self.status.is_server_error(), "{}", said());
        let kind = self.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap_or_default());
        let has_body = !self.bytes.is_empty();
        assert!(!self.status.is_client_error() || !has_body || kind == "application/problem+json", "{}", said());
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is not.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.what, String::from_utf8_lossy(&self.bytes)))
    }

    /// A text member of the JSON body.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn text(&self, member: &str) -> String {
        let body = self.json();
        body[member].as_str().unwrap_or_else(|| panic!("{}: no `{member}` in {body}", self.what)).to_owned()
    }

    /// A header as text.
    ///
    /// # Panics
    /// Where it is missing.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("{}: no header `{name}`", self.what));
        value.to_str().expect("headers of ours are ASCII")
    }

    /// Asserts a problem document of this status and code, and gives it.
    ///
    /// # Panics
    /// Where the answer is anything else, or shows what it must not.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        let answer = self.expect(status);
        let body = answer.json();
        assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.what);
        assert_eq!(body["code"], code, "{}\n{body}", answer.what);
        assert_eq!(body["status"], status, "{}\n{body}", answer.what);
        assert_eq!(body["request_id"], answer.header("x-request-id"), "{}\n{body}", answer.what);
        let text = body.to_string().to_lowercase();
        for forbidden in ["select ", "insert into", "panicked", "sqlstate", "tenant_test", ".rs:"] {
            assert!(!text.contains(forbidden), "{} shows `{forbidden}`: {body}", answer.what);
        }
        body
    }
}
