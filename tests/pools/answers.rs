//! What a client is answered, and whether it may be answered so.

use std::time::{Duration, Instant};

/// A client waits longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What all marks begin with, followed by four digits.
const MARK: &str = "canary";

/// The mark of a tenant.
pub(crate) fn mark(number: usize) -> String {
    format!("{MARK}{number:04}")
}

/// An answer as it came.
pub(crate) struct Seen {
    /// The status.
    pub(crate) status: u16,
    /// The headers, as text.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: String,
    /// How long it took.
    pub(crate) took: Duration,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, headers, body, took } = self;
        write!(formatter, "{status} after {took:?} with {headers:?}: {}", body.chars().take(400).collect::<String>())
    }
}

/// Sends a request; none where there was no whole answer.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> Option<Seen> {
    let begun = Instant::now();
    let answer = request.timeout(PATIENCE).send().await.ok()?;
    let status = answer.status().as_u16();
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let headers = headers.collect();
    let body = String::from_utf8_lossy(&answer.bytes().await.ok()?).into_owned();
    Some(Seen { status, headers, body, took: begun.elapsed() })
}

/// The middle one of several.
pub(crate) fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

impl Seen {
    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is not.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// What is wrong with this answer whoever asked for whatever: a mark of somebody else, a fault of ours, or a refusal that
    /// does not say when to come again.
    pub(crate) fn wrong(&self, mark: &str) -> Option<String> {
        let texts = self.headers.iter().map(|(_, value)| value.as_str()).chain([self.body.as_str()]);
        if let Some(other) = texts.flat_map(marks_in).find(|found| *found != mark) {
            return Some(format!("{mark} was shown {other}: {self:?}"));
        }
        match self.status {
            500 | 502 => Some(format!("{mark} met a fault: {self:?}")),
            503 | 504 if self.header("retry-after").is_none() => {
                Some(format!("{mark} was not told when to come again: {self:?}"))
            }
            _ => None,
        }
    }
}

/// All marks in a text, whoever's.
fn marks_in(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(MARK).filter_map(move |(at, _)| {
        let found = text.get(at..at + MARK.len() + 4)?;
        found[MARK.len()..].bytes().all(|byte| byte.is_ascii_digit()).then_some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::{Seen, mark};

    fn wrong(status: u16, body: &str, headers: &[(&str, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let seen = Seen { status, headers, body: body.to_owned(), took: std::time::Duration::ZERO };
        seen.wrong(&mark(7)).is_some()
    }

    #[test]
    fn a_mark_of_somebody_else_is_found_wherever_it_is() {
        assert!(!wrong(200, "canary0007 and canary0007", &[("etag", "canary0007")]));
        assert!(wrong(200, "canary0007 and canary0008", &[]));
        assert!(wrong(404, "no", &[("location", "/canary0070")]));
    }

    #[test]
    fn a_refusal_must_say_when_to_come_again() {
        assert!(wrong(503, "", &[]));
        assert!(!wrong(503, "", &[("retry-after", "1")]));
        assert!(wrong(500, "", &[("retry-after", "1")]));
    }
}
