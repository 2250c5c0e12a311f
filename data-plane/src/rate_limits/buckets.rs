//! The buckets of many, as many as there is room for.

use std::hash::Hash;
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::bucket::{Bucket, Policy};

/// Buckets by whose they are. Bounded, because who comes is not ours to say: `governor`'s own keyed store grows with everyone
/// who was ever seen until somebody sweeps it, faster than it could be swept. Where there are too many, those that were looked
/// up longest ago go, and are full when they come again: whoever has more addresses than this is not held up by any one's
/// limit anyway.
pub(crate) struct Buckets<Id>(Cache<Id, Arc<Bucket>>);

impl<Id: Hash + Eq + Send + Sync + Copy + 'static> Buckets<Id> {
    /// Room for so many.
    pub(crate) fn new(most: u64) -> Self {
        // Not by how often they are looked up, moka's own way: that would not keep newcomers, who then are never counted.
        Self(Cache::builder().max_capacity(most).eviction_policy(EvictionPolicy::lru()).build())
    }

    /// Somebody's bucket; `policy` is the same at each call.
    pub(crate) fn of(&self, id: Id, policy: &Arc<Policy>) -> Arc<Bucket> {
        self.0.get_with(id, || Arc::new(Bucket::new(Arc::clone(policy))))
    }

    /// Somebody's bucket under this policy: a new one, full, where the limit was another until now.
    pub(super) fn with(&self, id: Id, policy: &Arc<Policy>) -> Arc<Bucket> {
        let new = || Arc::new(Bucket::new(Arc::clone(policy)));
        self.0.entry(id).or_insert_with_if(new, |bucket| bucket.policy.limit != policy.limit).into_value()
    }
}

#[cfg(test)]
mod tests {
    use rowhouse_domain::{KeyId, RateLimit};

    use super::super::bucket::Subject;
    use super::*;

    fn policy(burst: u32) -> Arc<Policy> {
        Arc::new(Policy::new(Subject::Key, RateLimit { per_second: 1, burst }).unwrap())
    }

    #[test]
    fn a_flood_of_strangers_takes_no_more_room_than_there_is() {
        let (buckets, policy) = (Buckets::new(1_000), policy(2));
        let (constant, mut refused) = (KeyId::new(), 0);
        for number in 0..100_000 {
            let _ = buckets.of(KeyId::new(), &policy).take();
            if number % 100 == 0 {
                refused += usize::from(buckets.of(constant, &policy).take().is_err());
            }
            if number % 10_000 == 0 {
                buckets.0.run_pending_tasks();
                assert!(buckets.0.entry_count() <= 1_000, "{}", buckets.0.entry_count());
            }
        }
        buckets.0.run_pending_tasks();
        assert!(buckets.0.entry_count() <= 1_000, "{}", buckets.0.entry_count());
        assert!(refused > 900, "who comes again and again is still counted: {refused}");
    }

    #[test]
    fn a_newcomer_is_counted_where_all_room_is_taken_by_those_who_come_often() {
        let (buckets, policy, newcomer) = (Buckets::new(10), policy(2), KeyId::new());
        let often: Vec<KeyId> = (0..10).map(|_| KeyId::new()).collect();
        for _ in 0..50 {
            for id in &often {
                buckets.of(*id, &policy);
            }
            buckets.0.run_pending_tasks();
        }
        let served = (0..20).filter(|_| {
            let taken = buckets.of(newcomer, &policy).take();
            buckets.0.run_pending_tasks();
            taken.is_ok()
        });
        assert_eq!(served.count(), 2);
    }

    #[test]
    fn a_bucket_is_kept_until_its_limit_is_another() {
        let (buckets, id) = (Buckets::new(10), KeyId::new());
        assert_eq!(buckets.with(id, &policy(2)).take(), Ok(1));
        assert_eq!(buckets.with(id, &policy(2)).take(), Ok(0));
        assert!(buckets.with(id, &policy(2)).take().is_err());
        assert_eq!(buckets.with(id, &policy(3)).take(), Ok(2));
    }
}
