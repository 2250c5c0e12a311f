//! Templates that this process has seen, so that it does not look each time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use rowhouse_domain::ClusterId;
use rowhouse_migrations::Fingerprint;

/// Cluster, version of the tenant migrations, major version of the server.
type Key = (ClusterId, u32, u32);

/// The clusters that a template of a version was seen on, and what schemas of a version are made of on each.
#[derive(Default)]
pub(crate) struct KnownTemplates {
    seen: Mutex<HashSet<(ClusterId, u32)>>,
    fingerprints: Mutex<HashMap<Key, Arc<Fingerprint>>>,
    glances: Mutex<HashMap<Key, HashSet<String>>>,
}

/// Glances that are kept of one version: so many ways there may be to come to it, and to be numbered on the way.
const GLANCES: usize = 1_000;

impl KnownTemplates {
    pub(super) fn contains(&self, cluster: ClusterId, version: u32) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(&(cluster, version))
    }

    pub(super) fn insert(&self, cluster: ClusterId, version: u32) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert((cluster, version));
    }

    /// To be called where a template was missing after all.
    pub(crate) fn forget(&self, cluster: ClusterId) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _)| *of != cluster);
    }

    pub(super) fn fingerprint(&self, key: Key) -> Option<Arc<Fingerprint>> {
        self.fingerprints.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    pub(super) fn remember(&self, key: Key, fingerprint: Arc<Fingerprint>) {
        self.fingerprints.lock().unwrap_or_else(PoisonError::into_inner).insert(key, fingerprint);
    }

    /// Whether a schema of which this was seen has the fingerprint that it should have.
    pub(crate) fn recognises(&self, key: Key, glance: &str) -> bool {
        let glances = self.glances.lock().unwrap_or_else(PoisonError::into_inner);
        glances.get(&key).is_some_and(|known| known.contains(glance))
    }

    /// To be called where both were read at the same moment, and the fingerprint is as it should be.
    pub(crate) fn learn(&self, key: Key, glance: String) {
        let mut glances = self.glances.lock().unwrap_or_else(PoisonError::into_inner);
        let known = glances.entry(key).or_default();
        if known.len() >= GLANCES {
            known.clear();
        }
        known.insert(glance);
    }
}
