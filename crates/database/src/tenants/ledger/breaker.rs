//! A cluster that does not answer is left alone for a moment, and then tried by one connection at a time.

use std::time::Duration;

/// Failures in a row, without a success between them, after which nobody waits any more.
pub(super) const TOLERATED: u32 = 3;
/// The pause before the first probe; it doubles with each that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause: service is back within two of them after the server is.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Whether a cluster is asked at all.
#[derive(Debug, Default)]
pub(crate) enum Breaker {
    /// It is; so many attempts failed in a row.
    #[default]
    Untroubled,
    Troubled(u32),
    /// It is not, until a probe is answered; so many were not.
    Open(u32),
}

impl Breaker {
    /// Whether callers are refused.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    pub(super) fn succeeded(&mut self) {
        // While it is open only a probe decides: a connection that was under way may be the last that got in.
        if !self.is_open() {
            *self = Self::Untroubled;
        }
    }

    /// Counts a failure; the pause before the first probe where this one opens the breaker.
    pub(super) fn failed(&mut self) -> Option<Duration> {
        let failures = match self {
            Self::Untroubled => 1,
            Self::Troubled(failures) => *failures + 1,
            Self::Open(_) => return None,
        };
        *self = Self::Troubled(failures);
        (failures >= TOLERATED).then(|| {
            *self = Self::Open(0);
            jittered(FIRST_PAUSE)
        })
    }

    /// Records a probe; the pause before the next where it was not answered.
    pub(super) fn probed(&mut self, has_answered: bool) -> Option<Duration> {
        let Self::Open(failures) = self else { return None };
        if has_answered {
            *self = Self::Untroubled;
            return None;
        }
        *failures = failures.saturating_add(1);
        Some(jittered((FIRST_PAUSE * 2u32.saturating_pow(*failures)).min(LONGEST_PAUSE)))
    }
}

/// Up to a quarter more or less, so that replicas do not come back all at once.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let mut random = [0u8; 1];
    // Without random bytes the jitter is nil, which is no harm.
    let _ = getrandom::fill(&mut random);
    pause.mul_f64(0.75 + f64::from(random[0]) / 510.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_failures_in_a_row_open_it_and_an_answer_closes_it() {
        let mut breaker = Breaker::default();
        assert!(breaker.failed().is_none());
        breaker.succeeded();
        assert!(breaker.failed().is_none());
        assert!(breaker.failed().is_none());
        assert!(!breaker.is_open());
        assert!(breaker.failed().is_some());
        assert!(breaker.is_open());
        assert!(breaker.failed().is_none(), "an attempt that was under way changes nothing");
        breaker.succeeded();
        assert!(breaker.is_open());
        let pauses: Vec<Duration> = (0..6).map(|_| breaker.probed(false).unwrap()).collect();
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE.mul_f64(1.25)), "{pauses:?}");
        assert!(pauses[0] < pauses[5]);
        assert!(breaker.probed(true).is_none());
        assert!(!breaker.is_open());
    }
}
