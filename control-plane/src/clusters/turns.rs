//! How many connections requests may open to a cluster, past every pool.
//!
//! Looking at a cluster takes a connection of its own, and a cluster has few. So requests take turns: a handful of them
//! at a time in each process, however many come. What the reconciler opens is bounded by `provisioning.parallel`
//! instead. A `connection limit` on the control plane's login would be no substitute: it counts all replicas and their
//! pools together, so a flood of requests would use it up and provisioning would be refused with them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rowhouse_domain::ClusterId;
use rowhouse_problem::{Code, Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests of one process that hold such a connection to one cluster at the same time.
const AT_ONCE: usize = 2;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// The turns of all clusters. There are few clusters, and they are not forgotten.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<ClusterId, Arc<Semaphore>>>);

/// The right to have a connection open; given back when dropped, which must be after the connection.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    /// Waits for a turn at a cluster. Unavailable, where none comes within a second.
    pub(crate) async fn take(&self, cluster: ClusterId) -> Result<Turn> {
        let turns = {
            let mut clusters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(clusters.entry(cluster).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
        };
        match tokio::time::timeout(PATIENCE, turns.acquire_owned()).await {
            Ok(permit) => Ok(Turn { _permit: permit.map_err(Error::internal)? }),
            Err(_) => {
                let detail = "Too many requests look at this cluster at the same time. Try again in a moment.";
                Err(Error::new(Code::Unavailable, detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_too_many_is_told_to_come_back() {
        let (turns, cluster) = (Turns::default(), ClusterId::new());
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(turns.take(cluster).await.unwrap());
        }
        let refused = turns.take(cluster).await.err().unwrap();
        assert_eq!((refused.code(), refused.is_retryable()), (Code::Unavailable, true));
        assert!(turns.take(ClusterId::new()).await.is_ok(), "another cluster has turns of its own");
        held.pop();
        assert!(turns.take(cluster).await.is_ok());
    }
}
