//! How many keys that are not remembered are looked up a second, whoever sends them: wrong keys from everywhere at once, too few
//! from each address to be refused there, end before they keep `saas_platform` from its work.
//!
//! Addresses that have sent a wrong key lately have half of it at most, so that others' new keys are served beside them.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use rowhouse_problem::{Error, Result};
use rowhouse_settings as settings;

/// Counts look-ups.
pub(super) struct LookUps {
    all: DefaultDirectRateLimiter,
    suspects: DefaultDirectRateLimiter,
}

impl LookUps {
    /// With the limits of the settings, or none.
    pub(super) fn new(settings: &settings::Auth) -> Option<Self> {
        let (rate, burst) =
            NonZeroU32::new(settings.lookups_per_second).zip(NonZeroU32::new(settings.lookups_burst))?;
        let half = |number: NonZeroU32| NonZeroU32::new(number.get() / 2).unwrap_or(NonZeroU32::MIN);
        let limiter = |rate, burst| RateLimiter::direct(Quota::per_second(rate).allow_burst(burst));
        Some(Self { all: limiter(rate, burst), suspects: limiter(half(rate), half(burst)) })
    }

    /// Counts one that is to begin now.
    ///
    /// # Errors
    /// Unavailable, where there are too many.
    pub(super) fn begin(&self, is_suspicious: bool) -> Result<()> {
        if is_suspicious {
            take(&self.suspects)?;
        }
        take(&self.all)
    }
}

fn take(limiter: &DefaultDirectRateLimiter) -> Result<()> {
    limiter.check().map_err(|until| {
        let wait = until.wait_time_from(limiter.clock().now()).max(Duration::from_secs(1));
        Error::unavailable("more keys are sent that are not remembered than are looked up").retry_after(wait)
    })
}

#[cfg(test)]
mod tests {
    use rowhouse_problem::Code;

    use super::*;

    fn look_ups(per_second: u32, burst: u32) -> Option<LookUps> {
        LookUps::new(&settings::Auth {
            cache_size: 1,
            negative_ttl: Duration::ZERO,
            stale_max: Duration::ZERO,
            snapshot_file: std::path::PathBuf::new(),
            unknown_keys_per_second: 1,
            unknown_keys_burst: 1,
            lookups_per_second: per_second,
            lookups_burst: burst,
        })
    }

    #[test]
    fn who_has_sent_wrong_keys_leaves_half_to_the_others() {
        let look_ups = look_ups(1, 20).unwrap();
        let begun = |is_suspicious| (0..100).filter(|_| look_ups.begin(is_suspicious).is_ok()).count();
        assert_eq!((begun(true), begun(false), begun(false)), (10, 10, 0));
        let refused = look_ups.begin(false).unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(refused.retry_delay().unwrap() >= Duration::from_secs(1));
    }

    #[test]
    fn no_limit_is_none_and_the_smallest_lets_somebody_through() {
        assert!(look_ups(0, 20).is_none());
        assert!(look_ups(1, 1).unwrap().begin(true).is_ok());
    }
}
