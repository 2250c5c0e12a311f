//! Times of hearing, and of not.

use crate::moment::Moment;
use crate::sync::{AtomicBool, AtomicI64, Ordering};

/// A time during which every notice is heard.
pub struct Era {
    is_live: AtomicBool,
    /// When nothing had been missed, last.
    right_at: AtomicI64,
}

impl Era {
    /// One in which no notice is heard.
    pub(crate) fn deaf() -> Self {
        Self { is_live: AtomicBool::new(false), right_at: AtomicI64::new(Moment::NEVER.0) }
    }

    /// One in which every notice from `now` on is heard.
    pub(crate) fn since(now: Moment) -> Self {
        Self { is_live: AtomicBool::new(true), right_at: AtomicI64::new(now.0) }
    }

    /// One that is over, and in which nothing had been missed until then.
    pub(crate) fn until(end: Moment) -> Self {
        Self { is_live: AtomicBool::new(false), right_at: AtomicI64::new(end.0) }
    }

    /// Nothing had been missed at this moment.
    pub fn beat(&self, now: Moment) {
        self.right_at.store(now.0, Ordering::Release);
    }

    /// From now on something may be missed.
    pub(crate) fn end(&self) {
        self.is_live.store(false, Ordering::Release);
    }

    /// Whether notices are heard.
    pub(crate) fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Acquire)
    }

    /// When nothing had been missed, last; never, where nothing was heard at all.
    pub(crate) fn right_at(&self) -> Moment {
        Moment(self.right_at.load(Ordering::Acquire))
    }
}
