//! How one request stands with the limits that it met.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::RATE_LIMIT_HEADERS;

use super::bucket::{Bucket, Policy, Subject};

/// The tightest limit so far: the one with the fewest requests left.
#[derive(Default)]
pub(crate) struct Standing(Option<Met>);

struct Met {
    policy: Arc<Policy>,
    remaining: u32,
    /// Seconds.
    reset: u32,
}

impl Standing {
    /// Takes a request out of a bucket.
    ///
    /// # Errors
    /// `rate_limited`, where it is empty.
    pub(crate) fn take_from(&mut self, bucket: &Bucket) -> Result<()> {
        let policy = &bucket.policy;
        let (remaining, reset, outcome) = match bucket.take() {
            Ok(remaining) => (remaining, policy.seconds_to_fill(remaining), Ok(())),
            Err(wait) => {
                policy.refused.increment(1);
                // The same moment as `Retry-After`, which rounds up too (§6.2 of the draft).
                let reset = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1);
                (0, reset, Err(refusal(policy).retry_after(wait)))
            }
        };
        if outcome.is_err() || self.0.as_ref().is_none_or(|met| remaining < met.remaining) {
            self.0 = Some(Met { policy: Arc::clone(policy), remaining, reset });
        }
        outcome
    }

    /// Tells the caller; nothing, where no limit was met.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let Some(Met { policy, remaining, reset }) = &self.0 else { return };
        let values = [policy.size.clone(), (*remaining).into(), (*reset).into(), policy.policy.clone()];
        for (name, value) in RATE_LIMIT_HEADERS.into_iter().zip(values) {
            headers.insert(name, value);
        }
    }
}

fn refusal(policy: &Policy) -> Error {
    let (whose, what) = match policy.subject {
        Subject::Address => ("Your address", "requests"),
        Subject::Key => ("The key", "requests"),
        Subject::Tenant => ("The tenant, with all its keys,", "requests"),
        Subject::WrongKeys => ("Your address has sent keys that are not valid: it", "of them"),
    };
    let (per_second, burst) = (policy.limit.per_second, policy.limit.burst);
    let detail = format!("{whose} may send {per_second} {what} a second, and {burst} at once after a pause.");
    Error::new(Code::RateLimited, detail).with("limit", policy.subject.as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rowhouse_domain::RateLimit;

    use super::*;

    fn bucket(subject: Subject, per_second: u32, burst: u32) -> Bucket {
        Bucket::new(Arc::new(Policy::new(subject, RateLimit { per_second, burst }).unwrap()))
    }

    fn told(standing: &Standing) -> [String; 4] {
        let mut headers = HeaderMap::new();
        standing.tell(&mut headers);
        RATE_LIMIT_HEADERS
            .map(|name| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default())
    }

    #[test]
    fn the_tightest_limit_is_told() {
        let (address, key, tenant) =
            (bucket(Subject::Address, 1, 100), bucket(Subject::Key, 2, 5), bucket(Subject::Tenant, 1, 50));
        assert_eq!(told(&Standing::default()), ["", "", "", ""]);
        let mut standing = Standing::default();
        for bucket in [&address, &key, &tenant] {
            standing.take_from(bucket).unwrap();
        }
        assert_eq!(told(&standing), ["5", "4", "1", "2;w=1;burst=5"]);
        for _ in 0..4 {
            standing.take_from(&key).unwrap();
        }
        assert_eq!(told(&standing), ["5", "0", "3", "2;w=1;burst=5"]);
    }

    #[test]
    fn a_refusal_names_its_limit_and_the_wait() {
        for (subject, name) in [(Subject::Address, "address"), (Subject::Key, "key"), (Subject::Tenant, "tenant")] {
            let (bucket, mut standing) = (bucket(subject, 1, 1), Standing::default());
            standing.take_from(&bucket).unwrap();
            let refused = standing.take_from(&bucket).unwrap_err();
            assert_eq!((refused.code(), refused.extensions()["limit"].as_str()), (Code::RateLimited, Some(name)));
            let wait = refused.retry_delay().unwrap();
            assert!(wait > Duration::from_millis(500) && wait <= Duration::from_secs(1), "{wait:?}");
            assert_eq!(told(&standing), ["1", "0", "1", "1;w=1;burst=1"]);
        }
    }
}
