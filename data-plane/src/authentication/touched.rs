//! Which keys' use this process has noted lately: a busy key is noted once a minute, not once a request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rowhouse_domain::KeyId;

/// How long a note lasts, as in `key_touch`.
const LASTS: Duration = Duration::from_secs(60);
/// Keys that are remembered; the use of more is noted when there is room again.
const REMEMBERED: usize = 10_000;

/// Keys with the time of their last note. Cheap to clone.
#[derive(Clone, Default)]
pub struct TouchedKeys(Arc<Mutex<HashMap<KeyId, Instant>>>);

impl TouchedKeys {
    /// Whether the key's use is to be noted now. Only one caller a minute is told so.
    pub(super) fn first_in_a_while(&self, key: KeyId) -> bool {
        self.first_at(key, Instant::now())
    }

    fn first_at(&self, key: KeyId, now: Instant) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < LASTS;
        if noted.get(&key).is_some_and(is_recent) {
            return false;
        }
        if noted.len() >= REMEMBERED {
            noted.retain(|_, at| is_recent(at));
            if noted.len() >= REMEMBERED {
                return false;
            }
        }
        noted.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_noted_once_a_minute() {
        let (keys, key, now) = (TouchedKeys::default(), KeyId::new(), Instant::now());
        assert!(keys.first_at(key, now));
        assert!(!keys.first_at(key, now + LASTS / 2));
        assert!(keys.first_at(KeyId::new(), now));
        assert!(keys.first_at(key, now + LASTS));
    }

    #[test]
    fn a_flood_of_keys_is_not_remembered() {
        let (keys, now) = (TouchedKeys::default(), Instant::now());
        let noted = (0..REMEMBERED + 10).filter(|_| keys.first_at(KeyId::new(), now)).count();
        assert_eq!(noted, REMEMBERED);
        assert!(keys.first_at(KeyId::new(), now + LASTS));
    }
}
