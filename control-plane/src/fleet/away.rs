//! A server of tenants that goes away under a run mostly comes back: what was under way on it is tried again by the same hand, so
//! that a restart costs a run some seconds and no failures. Once: it may be the migration that the server can't bear.

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

/// How often it may go away while a schema is at work.
const TIMES: u32 = 1;

/// Where a server was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    /// Whatever came of it, the server has answered.
    There,
    /// It could not be reached.
    Away,
    /// It went away while it was at work.
    Lost,
}

/// What came of a try.
pub(super) struct Tried<T> {
    pub(super) outcome: T,
    pub(super) server: Server,
}

/// How long a server is waited for, and how often.
pub(super) struct Patience {
    pauses: Iter<'static, Duration>,
    lost: u32,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { pauses: PAUSES.iter(), lost: 0 }
    }

    /// Pauses if a server is to be waited for. Whether to try again then: not where it was waited for long enough, or somebody
    /// asked to stop.
    pub(super) async fn is_left(&mut self, server: Server, stop: &Stop) -> bool {
        self.lost += u32::from(server == Server::Lost);
        if server == Server::There || self.lost > TIMES {
            return false;
        }
        let Some(pause) = self.pauses.next() else { return false };
        let mut left = *pause;
        while !left.is_zero() && !stop.is_asked() {
            let moment = left.min(LOOKS_UP);
            tokio::time::sleep(moment).await;
            left -= moment;
        }
        !stop.is_asked()
    }
}
