//! Points in time that can be kept in an atomic.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// A point in time of this process, in milliseconds; before its start for what an earlier one knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Moment {
    /// Before everything.
    pub const NEVER: Self = Self(i64::MIN);

    /// This moment.
    pub fn now() -> Self {
        static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
        Self(milliseconds(BEGUN.elapsed()))
    }

    /// The moment that this one is so much later than.
    #[must_use]
    pub fn before(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(milliseconds(wait)))
    }

    /// The moment so much later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(milliseconds(wait)))
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
