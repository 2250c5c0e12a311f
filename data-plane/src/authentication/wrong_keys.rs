//! How many wrong keys one address may send: guessing and floods end before they ask `saas_platform` anything.
//!
//! An address that has sent no wrong key lately is not limited, so that one that many tenants share (a proxy's) is not held
//! up when a process starts and knows nobody. After its first one, each question that it causes counts as a wrong key.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use moka::sync::Cache;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_settings as settings;

/// How long an address counts as suspicious after a wrong key.
const SUSPICION: Duration = Duration::from_secs(60);
/// Addresses that are remembered as suspicious; with more, the oldest start anew.
const SUSPECTS: u64 = 100_000;

/// Counts wrong keys by address.
pub struct WrongKeys(Option<Limits>);

struct Limits {
    counted: DefaultKeyedRateLimiter<IpAddr>,
    suspects: Cache<IpAddr, ()>,
    clock: DefaultClock,
}

impl WrongKeys {
    /// With the limits of the settings, or none.
    pub fn new(settings: &settings::Auth) -> Self {
        let rate = NonZeroU32::new(settings.unknown_keys_per_second);
        let burst = NonZeroU32::new(settings.unknown_keys_burst);
        Self(rate.zip(burst).map(|(rate, burst)| Limits {
            counted: DefaultKeyedRateLimiter::keyed(Quota::per_second(rate).allow_burst(burst)),
            suspects: Cache::builder().max_capacity(SUSPECTS).time_to_live(SUSPICION).build(),
            clock: DefaultClock::default(),
        }))
    }

    /// Whether a key may be looked up for an address; where the address is suspicious, it counts as a wrong one at once.
    /// Says whether it was counted.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(super) fn may_ask(&self, address: Option<IpAddr>) -> Result<bool> {
        match (&self.0, address.map(network)) {
            (Some(limits), Some(network)) if limits.suspects.contains_key(&network) => {
                limits.count(network).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// Counts a wrong key.
    ///
    /// # Errors
    /// `rate_limited`, where it is one too many.
    pub(super) fn count(&self, address: Option<IpAddr>) -> Result<()> {
        let (Some(limits), Some(network)) = (&self.0, address.map(network)) else { return Ok(()) };
        limits.suspects.insert(network, ());
        limits.count(network)
    }

    /// Forgets addresses that have been quiet for long enough.
    pub(super) fn tidy(&self) {
        if let Some(limits) = &self.0 {
            limits.counted.retain_recent();
            limits.counted.shrink_to_fit();
        }
    }
}

impl Limits {
    fn count(&self, network: IpAddr) -> Result<()> {
        self.counted.check_key(&network).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            Error::new(Code::RateLimited, "Your address has sent too many keys that are not valid.")
                .with("limit", "wrong_keys")
                .retry_after(wait)
        })
    }
}

/// What is counted as one address: of IPv6 the half that a provider gives to one customer.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong_keys(rate: u32) -> WrongKeys {
        WrongKeys::new(&settings::Auth {
            cache_size: 1,
            negative_ttl: Duration::ZERO,
            stale_max: Duration::ZERO,
            snapshot_file: std::path::PathBuf::new(),
            unknown_keys_per_second: rate,
            unknown_keys_burst: 5,
        })
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_is_suspicious_after_its_first_wrong_key_and_others_are_not() {
        let keys = wrong_keys(1);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..1000 {
            assert!(!keys.may_ask(one).unwrap());
        }
        keys.count(one).unwrap();
        for _ in 0..4 {
            assert!(keys.may_ask(one).unwrap());
        }
        let refused = keys.may_ask(one).unwrap_err();
        assert_eq!(refused.code(), Code::RateLimited);
        assert!(refused.retry_delay().unwrap() <= Duration::from_secs(1));
        assert!(keys.count(one).is_err());
        assert!(!keys.may_ask(other).unwrap());
        assert!(wrong_keys(0).count(one).is_ok());
    }

    #[test]
    fn one_customers_addresses_count_as_one() {
        assert_eq!(network("2001:db8:1:2:3:4:5:6".parse().unwrap()), "2001:db8:1:2::".parse::<IpAddr>().unwrap());
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
        assert_ne!(network("2001:db8:1:2::1".parse().unwrap()), network("2001:db8:1:3::1".parse().unwrap()));
    }
}
