//! Remembers that `saas_platform` does not answer, so that not every request finds it out by itself.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use rowhouse_trust::Moment;

/// How often somebody tries whether it is over.
const TRY: Duration = Duration::from_secs(1);

/// Whether `saas_platform` was away when it was last asked.
#[derive(Default)]
pub(super) struct Outage {
    lasts: AtomicBool,
    try_again: AtomicI64,
}

impl Outage {
    /// It did not answer.
    pub(super) fn begin(&self) {
        self.try_again.store(Moment::now().after(TRY).0, Ordering::Release);
        if !self.lasts.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                "saas_platform does not answer: keys that are remembered go on working, others have to wait"
            );
        }
    }

    /// It answered.
    pub(super) fn end(&self) {
        if self.lasts.load(Ordering::Acquire) && self.lasts.swap(false, Ordering::AcqRel) {
            tracing::info!("saas_platform answers again");
        }
    }

    /// Whether it was away when it was last asked.
    pub(super) fn lasts(&self) -> bool {
        self.lasts.load(Ordering::Acquire)
    }

    /// Whether the caller is to try now; during an outage one caller a second is told so.
    pub(super) fn is_to_be_tried(&self, now: Moment) -> bool {
        let due = self.try_again.load(Ordering::Acquire);
        !self.lasts()
            || (due <= now.0
                && self.try_again.compare_exchange(due, now.after(TRY).0, Ordering::AcqRel, Ordering::Acquire).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_a_second_tries_whether_it_is_over() {
        let (outage, now) = (Outage::default(), Moment::now());
        assert!(outage.is_to_be_tried(now) && outage.is_to_be_tried(now));
        outage.begin();
        assert!(!outage.is_to_be_tried(Moment::now()));
        let later = Moment::now().after(TRY * 2);
        assert!(outage.is_to_be_tried(later));
        assert!(!outage.is_to_be_tried(later));
        outage.end();
        assert!(outage.is_to_be_tried(later));
    }
}
