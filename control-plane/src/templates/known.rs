//! Templates that this process has seen, so that it does not look each time.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use rowhouse_domain::ClusterId;

/// The clusters whose template of this release was seen.
#[derive(Default)]
pub(crate) struct KnownTemplates(Mutex<HashSet<ClusterId>>);

impl KnownTemplates {
    pub(super) fn contains(&self, cluster: ClusterId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&cluster)
    }

    pub(super) fn insert(&self, cluster: ClusterId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(cluster);
    }

    /// To be called where a template was missing after all.
    pub(crate) fn forget(&self, cluster: ClusterId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&cluster);
    }
}
