//! How often each address, key and tenant may ask: counted in this process, refused beyond it, and told in headers.
//!
//! A limit is a bucket that requests are taken from (GCRA, the crate `governor`): a word of memory that is changed by
//! compare-and-swap, so nobody waits for anybody. The buckets of a key and of its tenant come with what is remembered of the
//! key; only that of the address is looked up at each request.

mod bucket;
mod buckets;
mod standing;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use rowhouse_domain::{KeyId, RateLimit, TenantId, Tier};
use rowhouse_problem::Result;
use rowhouse_settings as settings;

use crate::authentication::network;
use bucket::Bucket;
pub(crate) use bucket::{Policy, Subject};
pub(crate) use buckets::Buckets;
pub(crate) use standing::Standing;

/// Addresses whose requests are counted; with more, those that were quiet longest start anew. Some 30 MB at most.
pub(crate) const ADDRESSES: u64 = 100_000;

/// Every bucket of this process.
pub struct RateLimits {
    settings: settings::RateLimits,
    address: Option<Arc<Policy>>,
    addresses: Buckets<IpAddr>,
    keys: Buckets<KeyId>,
    tenants: Buckets<TenantId>,
}

/// What a key and its tenant may ask, as `saas_platform` has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    pub(crate) tier: Tier,
    /// Instead of the tier's.
    pub(crate) key: Option<RateLimit>,
    pub(crate) tenant: Option<RateLimit>,
}

/// The buckets that a key's requests are taken from.
pub(crate) struct Held {
    key: Option<Arc<Bucket>>,
    tenant: Option<Arc<Bucket>>,
}

impl RateLimits {
    /// With the limits of the settings; `keys` is how many are remembered, and so how many are counted.
    pub fn new(settings: &settings::RateLimits, keys: u64) -> Self {
        Self {
            address: Policy::new(Subject::Address, settings.address).map(Arc::new),
            settings: settings.clone(),
            addresses: Buckets::new(ADDRESSES),
            keys: Buckets::new(keys),
            tenants: Buckets::new(keys),
        }
    }

    /// Counts a request of an address.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(crate) fn count_address(&self, address: Option<IpAddr>, standing: &mut Standing) -> Result<()> {
        let (Some(policy), Some(address)) = (&self.address, address) else { return Ok(()) };
        standing.take_from(&self.addresses.of(network(address), policy))
    }

    /// The buckets of a key and of its tenant: those that they had, unless the limit is another one by now.
    pub(crate) fn hold(&self, key: KeyId, tenant: TenantId, allowance: Allowance) -> Held {
        let Allowance { tier, key: keys_own, tenant: tenants_own } = allowance;
        let policy = |subject, own: Option<RateLimit>, tiers: &HashMap<Tier, RateLimit>| {
            let limit = own.or_else(|| tiers.get(&tier).copied())?;
            Policy::new(subject, limit).map(Arc::new)
        };
        Held {
            key: policy(Subject::Key, keys_own, &self.settings.key).map(|policy| self.keys.with(key, &policy)),
            tenant: policy(Subject::Tenant, tenants_own, &self.settings.tenant)
                .map(|policy| self.tenants.with(tenant, &policy)),
        }
    }
}

impl Held {
    /// Counts a request of the key. What the key's own limit refuses is not taken from its tenant.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(crate) fn count(&self, standing: &mut Standing) -> Result<()> {
        [&self.key, &self.tenant].into_iter().flatten().try_for_each(|bucket| standing.take_from(bucket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: RateLimit = RateLimit { per_second: 1, burst: 2 };
    const THREE: RateLimit = RateLimit { per_second: 1, burst: 3 };

    /// How many requests are let through.
    fn served(mut count: impl FnMut(&mut Standing) -> Result<()>) -> usize {
        (0..50).filter(|_| count(&mut Standing::default()).is_ok()).count()
    }

    #[test]
    fn one_customers_addresses_count_as_one() {
        let limits = RateLimits::new(&settings::RateLimits::all(TWO), 10);
        let served_at = |address: &str| {
            let address = address.parse().unwrap();
            served(|standing| limits.count_address(Some(address), standing))
        };
        assert_eq!(served_at("2001:db8:1:2::1"), 2);
        assert_eq!(served_at("2001:db8:1:2:3:4:5:6"), 0);
        assert_eq!(served_at("2001:db8:1:3::1"), 2);
        assert_eq!(served_at("::ffff:192.0.2.1"), 2);
        assert_eq!(served_at("192.0.2.1"), 0);
    }

    #[test]
    fn the_tiers_limit_holds_unless_there_is_another() {
        let mut settings = settings::RateLimits::all(RateLimit::NONE);
        settings.key.insert(Tier::Free, TWO);
        settings.tenant.insert(Tier::Business, THREE);
        let limits = RateLimits::new(&settings, 100);
        let check = |tier, key, tenant, expected| {
            let held = limits.hold(KeyId::new(), TenantId::new(), Allowance { tier, key, tenant });
            assert_eq!(served(|standing| held.count(standing)), expected, "{tier} {key:?} {tenant:?}");
        };
        check(Tier::Free, None, None, 2);
        check(Tier::Free, Some(THREE), None, 3);
        check(Tier::Free, Some(RateLimit::NONE), None, 50);
        check(Tier::Business, None, None, 3);
        check(Tier::Business, None, Some(TWO), 2);
        check(Tier::Business, Some(TWO), Some(RateLimit::NONE), 2);
        check(Tier::Enterprise, None, None, 50);
    }
}
