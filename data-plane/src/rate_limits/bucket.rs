//! One limit, and how far it is used up.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use metrics::Counter;
use rowhouse_domain::RateLimit;

/// Whose requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The address that a connection comes from.
    Address,
    /// An API key.
    Key,
    /// A tenant, with all its keys.
    Tenant,
    /// The address that keys come from which are not valid.
    WrongKeys,
}

impl Subject {
    /// As problem documents and metrics name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Key => "key",
            Self::Tenant => "tenant",
            Self::WrongKeys => "wrong_keys",
        }
    }
}

/// A limit with what is said of it.
pub(crate) struct Policy {
    pub(super) subject: Subject,
    pub(super) limit: RateLimit,
    /// `RateLimit-Limit`: what a full bucket holds.
    pub(super) size: HeaderValue,
    /// `RateLimit-Policy`: what comes in each second, and what a full bucket holds.
    pub(super) policy: HeaderValue,
    pub(super) refused: Counter,
    quota: Quota,
}

impl Policy {
    /// None where nothing is limited.
    pub(crate) fn new(subject: Subject, limit: RateLimit) -> Option<Self> {
        let (rate, burst) = NonZeroU32::new(limit.per_second).zip(NonZeroU32::new(limit.burst))?;
        let policy = format!("{rate};w=1;burst={burst}");
        Some(Self {
            subject,
            limit,
            size: HeaderValue::from(limit.burst),
            policy: HeaderValue::from_str(&policy).expect("it is ASCII"),
            refused: metrics::counter!("rowhouse_rate_limited_total", "what" => subject.as_str()),
            quota: Quota::per_second(rate).allow_burst(burst),
        })
    }

    /// Seconds until the bucket is full again.
    pub(super) fn seconds_to_fill(&self, remaining: u32) -> u32 {
        self.limit.burst.saturating_sub(remaining).div_ceil(self.limit.per_second)
    }
}

/// What is left of a limit.
pub(crate) struct Bucket {
    pub(super) policy: Arc<Policy>,
    left: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(policy: Arc<Policy>) -> Self {
        Self { left: RateLimiter::direct(policy.quota).with_middleware(), policy }
    }

    /// Takes one request out, and says how many are left.
    ///
    /// # Errors
    /// How long to wait for the next one.
    pub(super) fn take(&self) -> Result<u32, Duration> {
        match self.left.check() {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(until) => Err(until.wait_time_from(self.left.clock().now())),
        }
    }
}
