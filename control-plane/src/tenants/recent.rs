//! What was found out about tenants a moment ago: found once for all who ask meanwhile, and kept for a few seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rowhouse_domain::TenantId;
use rowhouse_problem::{Code, Error, Result};

/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(5);
/// How long a failure does: those who waited for it need not each try themselves.
const FAILURE_FRESH: Duration = Duration::from_secs(1);
/// Tenants that are remembered; past that, all are forgotten but those being asked for.
const MOST: usize = 1024;

/// A tenant, and the generation of its place.
pub(super) type Key = (TenantId, i64);

/// Recent answers.
pub(super) struct Recent<T>(Mutex<HashMap<Key, Slot<T>>>);

/// Locked by whoever finds the answer; the others wait for the lock and then read it.
type Slot<T> = Arc<tokio::sync::Mutex<Option<Found<T>>>>;

struct Found<T> {
    at: Instant,
    answer: Result<T, (Code, String)>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<T: Clone + Send + 'static> Recent<T> {
    /// The recent answer, or what `find` finds. That runs to its end even where the caller goes away: the server does not
    /// notice that, so what it holds must not be given to the next one yet.
    pub(super) async fn get(&self, key: Key, find: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let mut slot = self.slot(key).lock_owned().await;
        if let Some(found) = slot.as_ref().filter(|found| found.is_fresh()) {
            return found.answer.clone().map_err(|(code, detail)| Error::new(code, detail));
        }
        let finding = tokio::spawn(async move {
            let answer = find.await;
            let kept = answer.as_ref().map(T::clone).map_err(|error| (error.code(), error.detail().to_owned()));
            *slot = Some(Found { at: Instant::now(), answer: kept });
            answer
        });
        finding.await.map_err(Error::internal)?
    }

    fn slot(&self, key: Key) -> Slot<T> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST && !slots.contains_key(&key) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key).or_default())
    }
}

impl<T> Found<T> {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < if self.answer.is_ok() { FRESH } else { FAILURE_FRESH }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Finds the number of times that it was asked, slowly.
    async fn find(asked: Arc<AtomicUsize>) -> Result<usize> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(asked.fetch_add(1, Ordering::Relaxed) + 1)
    }

    #[tokio::test]
    async fn many_who_ask_together_are_answered_at_once() {
        let (recent, asked) = (Recent::default(), Arc::new(AtomicUsize::new(0)));
        let key = (TenantId::new(), 1);
        // Whoever asks first goes away before the answer is there.
        let impatient = tokio::time::timeout(Duration::from_millis(1), recent.get(key, find(Arc::clone(&asked)))).await;
        assert!(impatient.is_err());
        let answers = futures::future::join_all((0..10).map(|_| recent.get(key, find(Arc::clone(&asked))))).await;
        assert!(answers.iter().all(|answer| *answer.as_ref().unwrap() == 1));
        assert_eq!(recent.get((key.0, 2), find(asked)).await.unwrap(), 2, "another generation is another matter");
    }

    #[tokio::test]
    async fn a_failure_is_shared_too() {
        let (recent, key) = (Recent::<usize>::default(), (TenantId::new(), 1));
        let failed = recent.get(key, async { Err(Error::unavailable("down")) }).await;
        assert_eq!(failed.unwrap_err().code(), Code::Unavailable);
        let shared = recent.get(key, async { Ok(1) }).await.unwrap_err();
        assert_eq!((shared.code(), shared.is_retryable()), (Code::Unavailable, true));
    }

    #[tokio::test]
    async fn it_does_not_remember_without_end() {
        let recent = Recent::default();
        for _ in 0..MOST + 10 {
            recent.get((TenantId::new(), 1), async { Ok(()) }).await.unwrap();
        }
        assert!(recent.0.lock().unwrap().len() <= MOST);
    }
}
