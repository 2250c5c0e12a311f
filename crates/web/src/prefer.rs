//! `Prefer: wait=N` and `Prefer: respond-async` (RFC 7240 §4).

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::error::ApiError;

/// Longest time that a caller may ask to wait.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// How long the caller is ready to wait for long work; none where it does not say.
#[derive(Debug, Clone, Copy)]
pub struct Prefer {
    wait: Option<Duration>,
}

impl Prefer {
    /// The time to wait, `default` where the caller does not say.
    pub fn wait_or(self, default: Duration) -> Duration {
        self.wait.unwrap_or(default)
    }

    fn parse(text: &str) -> Option<Duration> {
        let mut preferences = text.split([',', ';']).map(str::trim);
        preferences.find_map(|preference| {
            let lower = preference.to_ascii_lowercase();
            if lower == "respond-async" {
                return Some(Duration::ZERO);
            }
            let seconds: u64 = lower.strip_prefix("wait=")?.trim().parse().ok()?;
            Some(Duration::from_secs(seconds).min(MAX_WAIT))
        })
    }
}

impl FromRequest for Prefer {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let header = request.headers().get("prefer").and_then(|value| value.to_str().ok());
        ready(Ok(Self { wait: header.and_then(Self::parse) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_read_is_ignored_as_the_rfc_asks() {
        for (text, expected) in [
            ("wait=3", Some(3)),
            ("respond-async", Some(0)),
            ("return=minimal, wait=5", Some(5)),
            ("wait=100000", Some(60)),
            ("wait=soon", None),
            ("", None),
        ] {
            assert_eq!(Prefer::parse(text), expected.map(Duration::from_secs), "{text}");
        }
    }
}
