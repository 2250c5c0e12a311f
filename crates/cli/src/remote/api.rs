//! Calls to the control plane, and its problems as sentences.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use super::Connection;

/// How long a control plane may take that is there.
const A_LOOK: Duration = Duration::from_secs(30);

/// The control plane as the holder of the key sees it.
pub(crate) struct Api<'a> {
    client: Client,
    connection: &'a Connection,
}

impl<'a> Api<'a> {
    pub(crate) fn new(connection: &'a Connection) -> Result<Self> {
        if connection.key.is_empty() {
            bail!("no key: set ROWHOUSE_KEY or give --key");
        }
        Ok(Self { client: Client::new(), connection })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let base = self.connection.url.trim_end_matches('/');
        self.client.request(method, format!("{base}{path}")).bearer_auth(&self.connection.key)
    }

    /// Reads something.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.send(self.request(Method::GET, path)).await
    }

    /// Reads something that is quickly said. Who takes longer is away.
    pub(crate) async fn look(&self, path: &str) -> Result<Value> {
        self.send(self.request(Method::GET, path).timeout(A_LOOK)).await
    }

    /// Reads something that a query describes.
    pub(crate) async fn get_with(&self, path: &str, query: &[(String, String)]) -> Result<Value> {
        self.send(self.request(Method::GET, path).query(query)).await
    }

    /// Creates or does something.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Changes something.
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(self.request(Method::PATCH, path).json(body)).await
    }

    /// Sets something.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// Deletes or revokes something.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// All items of a list, page by page, up to `most`.
    pub(crate) async fn list(&self, path: &str, most: usize) -> Result<Value> {
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        while items.len() < most {
            let mut request = self.request(Method::GET, path).query(&[("limit", "200")]);
            if let Some(cursor) = &cursor {
                request = request.query(&[("cursor", cursor)]);
            }
            let mut page = self.send(request).await?;
            items.extend(page["items"].as_array_mut().map(std::mem::take).context("a list has items")?);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        items.truncate(most);
        Ok(Value::Array(items))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value> {
        let url = &self.connection.url;
        let answer = request.send().await.with_context(|| format!("cannot reach the control plane at {url}"))?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        let is_away = matches!(status.as_u16(), 502..=504);
        let body: Value = if bytes.is_empty() {
            Value::Null
        } else if is_away {
            // What is before a control plane may say so in its own way.
            serde_json::from_slice(&bytes).unwrap_or_default()
        } else {
            serde_json::from_slice(&bytes)
                .with_context(|| format!("{url} did not answer with JSON; is it a control plane?"))?
        };
        if status.is_success() {
            return Ok(body);
        }
        let part = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let said = format!("{} ({}, {status}; request {})", part("detail"), part("code"), part("request_id"));
        Err(if is_away { Unavailable(said).into() } else { anyhow!(said) })
    }
}

/// The control plane, or what is before it, says that it can't answer now.
#[derive(Debug)]
struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// Whether there was no control plane to answer, so that the same may go well in a moment.
pub(crate) fn is_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<Unavailable>() || cause.is::<reqwest::Error>())
}
