//! How many wrong keys one address may send: guessing and floods end before they ask `saas_platform` anything.
//!
//! An address that has sent no wrong key lately is not limited, so that one that many tenants share (a proxy's) is not held
//! up when a process starts and knows nobody. After its first one, each question that it causes counts as a wrong key.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use rowhouse_domain::RateLimit;
use rowhouse_problem::Result;
use rowhouse_settings as settings;

use super::look_ups::LookUps;
use crate::rate_limits::{ADDRESSES, Buckets, Policy, Standing, Subject};

/// How long an address counts as suspicious after a wrong key.
const SUSPICION: Duration = Duration::from_secs(60);

/// Counts wrong keys by address, and what is looked up for all of them.
pub struct WrongKeys {
    counted: Option<Counted>,
    look_ups: Option<LookUps>,
}

struct Counted {
    policy: Arc<Policy>,
    buckets: Buckets<IpAddr>,
    /// By when they came, as the buckets: by how often would not keep newcomers.
    suspects: Cache<IpAddr, ()>,
}

impl WrongKeys {
    /// With the limits of the settings, or none.
    pub fn new(settings: &settings::Auth) -> Self {
        let limit = RateLimit { per_second: settings.unknown_keys_per_second, burst: settings.unknown_keys_burst };
        let suspects = Cache::builder().max_capacity(ADDRESSES).eviction_policy(EvictionPolicy::lru());
        let counted = Policy::new(Subject::WrongKeys, limit).map(|policy| Counted {
            policy: Arc::new(policy),
            buckets: Buckets::new(ADDRESSES),
            suspects: suspects.time_to_live(SUSPICION).build(),
        });
        Self { counted, look_ups: LookUps::new(settings) }
    }

    /// Whether a key may be looked up for an address; where the address is suspicious, it counts as a wrong one at once.
    /// Says whether it was counted.
    ///
    /// # Errors
    /// `rate_limited`, where the address has sent too many; unavailable, where all together have.
    pub(crate) fn may_ask(&self, address: Option<IpAddr>, standing: &mut Standing) -> Result<bool> {
        let is_counted = match (&self.counted, address.map(network)) {
            (Some(counted), Some(network)) if counted.suspects.contains_key(&network) => {
                counted.count(network, standing).map(|()| true)?
            }
            _ => false,
        };
        self.look_ups.as_ref().map_or(Ok(()), |look_ups| look_ups.begin(is_counted))?;
        Ok(is_counted)
    }

    /// Counts a wrong key.
    ///
    /// # Errors
    /// `rate_limited`, where it is one too many.
    pub(crate) fn count(&self, address: Option<IpAddr>, standing: &mut Standing) -> Result<()> {
        let (Some(counted), Some(network)) = (&self.counted, address.map(network)) else { return Ok(()) };
        counted.suspects.insert(network, ());
        counted.count(network, standing)
    }
}

impl Counted {
    fn count(&self, network: IpAddr, standing: &mut Standing) -> Result<()> {
        standing.take_from(&self.buckets.of(network, &self.policy))
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
    use rowhouse_problem::Code;

    use super::*;

    fn wrong_keys(rate: u32) -> WrongKeys {
        WrongKeys::new(&settings::Auth {
            cache_size: 1,
            negative_ttl: Duration::ZERO,
            stale_max: Duration::ZERO,
            snapshot_file: std::path::PathBuf::new(),
            unknown_keys_per_second: rate,
            unknown_keys_burst: 5,
            lookups_per_second: 0,
            lookups_burst: 1,
        })
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_is_suspicious_after_its_first_wrong_key_and_others_are_not() {
        let keys = wrong_keys(1);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let mut standing = Standing::default();
        for _ in 0..1000 {
            assert!(!keys.may_ask(one, &mut standing).unwrap());
        }
        keys.count(one, &mut standing).unwrap();
        for _ in 0..4 {
            assert!(keys.may_ask(one, &mut standing).unwrap());
        }
        let refused = keys.may_ask(one, &mut standing).unwrap_err();
        assert_eq!((refused.code(), refused.extensions()["limit"].as_str()), (Code::RateLimited, Some("wrong_keys")));
        assert!(refused.retry_delay().unwrap() <= Duration::from_secs(1));
        assert!(keys.count(one, &mut standing).is_err());
        assert!(!keys.may_ask(other, &mut standing).unwrap());
        assert!(wrong_keys(0).count(one, &mut standing).is_ok());
    }

    #[test]
    fn a_flood_from_everywhere_keeps_no_newcomer_from_being_suspicious() {
        let (keys, mut standing) = (wrong_keys(1), Standing::default());
        let suspects = &keys.counted.as_ref().unwrap().suspects;
        for number in 0..u32::try_from(ADDRESSES).unwrap() + 20_000 {
            let _ = keys.count(Some(IpAddr::V4(number.into())), &mut standing);
        }
        suspects.run_pending_tasks();
        let newcomer = address("192.0.2.1");
        keys.count(newcomer, &mut standing).unwrap();
        suspects.run_pending_tasks();
        assert!(keys.may_ask(newcomer, &mut standing).unwrap());
    }

    #[test]
    fn one_customers_addresses_count_as_one() {
        assert_eq!(network("2001:db8:1:2:3:4:5:6".parse().unwrap()), "2001:db8:1:2::".parse::<IpAddr>().unwrap());
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
        assert_ne!(network("2001:db8:1:2::1".parse().unwrap()), network("2001:db8:1:3::1".parse().unwrap()));
    }
}
