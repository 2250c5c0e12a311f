//! Templates that this process has seen, so that it does not look each time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use rowhouse_domain::ClusterId;
use rowhouse_migrations::Fingerprint;

/// Cluster, version of the tenant migrations, major version of the server.
type Key = (ClusterId, u32, u32);

/// The clusters whose template of this release was seen, and what schemas of a version are made of on each.
#[derive(Default)]
pub(crate) struct KnownTemplates {
    seen: Mutex<HashSet<ClusterId>>,
    fingerprints: Mutex<HashMap<Key, Arc<Fingerprint>>>,
}

impl KnownTemplates {
    pub(super) fn contains(&self, cluster: ClusterId) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(&cluster)
    }

    pub(super) fn insert(&self, cluster: ClusterId) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(cluster);
    }

    /// To be called where a template was missing after all.
    pub(crate) fn forget(&self, cluster: ClusterId) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&cluster);
    }

    pub(super) fn fingerprint(&self, key: Key) -> Option<Arc<Fingerprint>> {
        self.fingerprints.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    pub(super) fn remember(&self, key: Key, fingerprint: Arc<Fingerprint>) {
        self.fingerprints.lock().unwrap_or_else(PoisonError::into_inner).insert(key, fingerprint);
    }
}
