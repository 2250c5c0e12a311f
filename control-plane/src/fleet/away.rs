//! A server of tenants that goes away under a run mostly comes back: what was under way on it is tried again by the same hand, so
//! that a restart costs a run some seconds and no failures.

use std::slice::Iter;
use std::time::Duration;

use rowhouse_migrations::Stop;

/// Between two tries.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// How often whoever pauses looks whether to go on at all.
const LOOKS_UP: Duration = Duration::from_millis(100);

/// What came of a try.
pub(super) struct Tried<T> {
    pub(super) outcome: T,
    /// The server went away meanwhile, or was away.
    pub(super) is_cut_off: bool,
}

/// How long a server is waited for.
pub(super) struct Patience(Iter<'static, Duration>);

impl Patience {
    pub(super) fn new() -> Self {
        Self(PAUSES.iter())
    }

    /// Pauses. Whether to try again then: not where it was waited for long enough, or somebody asked to stop.
    pub(super) async fn is_left(&mut self, stop: &Stop) -> bool {
        let Some(pause) = self.0.next() else { return false };
        let mut left = *pause;
        while !left.is_zero() && !stop.is_asked() {
            let moment = left.min(LOOKS_UP);
            tokio::time::sleep(moment).await;
            left -= moment;
        }
        !stop.is_asked()
    }
}
