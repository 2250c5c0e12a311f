//! How fast contents are read again, so that nobody who waits for an answer notices.

use std::time::Duration;

use tokio::time::Instant;

/// What an object costs beside its bytes: a request to the store and two to the database.
const OBJECT: u64 = 64 * 1024;

/// Bytes a second, over all that one process reads.
pub(crate) struct Pace {
    bytes_per_second: u64,
    /// When what was read so far would have been read at that pace.
    free: Instant,
}

impl Pace {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free: Instant::now() }
    }

    /// Says that an object was opened.
    pub(crate) async fn opened(&mut self) {
        self.spent(OBJECT).await;
    }

    /// Says that so many bytes were read, and waits until that is not too fast.
    pub(crate) async fn spent(&mut self, bytes: u64) {
        tokio::time::sleep_until(self.free_after(bytes, Instant::now())).await;
    }

    /// Time that was not used is not saved up.
    fn free_after(&mut self, bytes: u64, now: Instant) -> Instant {
        #[expect(clippy::cast_precision_loss, reason = "a pace")]
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        self.free = self.free.max(now) + takes;
        self.free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_also_after_a_rest() {
        let mut pace = Pace::new(1024 * 1024);
        let begun = pace.free;
        let free: Vec<Instant> = (0..10).map(|_| pace.free_after(512 * 1024, begun)).collect();
        assert_eq!(free[9] - begun, Duration::from_secs(5));
        let later = begun + Duration::from_secs(60);
        assert_eq!(pace.free_after(3 * 1024 * 1024, later) - later, Duration::from_secs(3));
    }
}
