//! Calls to a service with a key, and what is made of its problems.

use anyhow::{Context, Result, bail};
use reqwest::{Body, Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// A service as one key sees it.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    base: String,
    key: String,
}

impl Api {
    pub(crate) fn new(base: &str, key: &str) -> Self {
        Self { client: Client::new(), base: base.to_owned(), key: key.to_owned() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key)
    }

    /// Creates something and gives the answer's body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        answer(path, self.request(Method::POST, path).json(body)).await
    }

    /// Sends a content.
    pub(crate) async fn upload(&self, query: &[(&str, &str)], content: impl Into<Body>) -> Result<Value> {
        let request = self.request(Method::POST, "/v1/files").query(query).body(content);
        answer("/v1/files", request).await
    }

    /// Reads something.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        answer(path, self.request(Method::GET, path).query(query)).await
    }

    /// The status and problem code of a call that should be refused.
    pub(crate) async fn refusal(&self, path: &str) -> Result<(StatusCode, String)> {
        let response = self.request(Method::GET, path).send().await?;
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        Ok((status, text(&body, "code").unwrap_or_default().to_owned()))
    }
}

async fn answer(path: &str, request: RequestBuilder) -> Result<Value> {
    let response = request.send().await.with_context(|| format!("calling {path}"))?;
    let status = response.status();
    let body: Value = response.json().await.with_context(|| format!("reading the answer of {path}"))?;
    if !status.is_success() {
        let detail = text(&body, "detail").unwrap_or_default();
        bail!("{path} answered {status} {}: {detail}", text(&body, "code").unwrap_or_default());
    }
    Ok(body)
}

/// A member of a JSON object that should be text.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value.get(name).and_then(Value::as_str).with_context(|| format!("the answer has no `{name}`"))
}
