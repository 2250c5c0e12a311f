//! How long a sender may take: every wait for its bytes is bounded, whoever waits.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures::Stream;
use rowhouse_problem::{Code, Error};
use tokio::time::Sleep;

/// What a sender must reach on average, not counting the time in which nobody waits for it.
const BYTES_PER_SECOND: u64 = 16 * 1024;
/// From when on the average counts.
const GRACE: Duration = Duration::from_secs(10);

/// A body that ends in an error where its sender stalls or dawdles.
pub(super) struct Paced<S> {
    body: Pin<Box<S>>,
    idle: Duration,
    received: u64,
    waited: Duration,
    waiting: Option<Waiting>,
    allowance: Arc<AtomicU64>,
}

struct Waiting {
    since: Instant,
    end: Pin<Box<Sleep>>,
}

/// Lifts the limit on what a [`Paced`] lets through.
pub(super) struct Gate(Arc<AtomicU64>);

impl Gate {
    /// The rest may be of any size.
    pub(super) fn open(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }
}

impl<S: Stream<Item = Result<Bytes, PayloadError>>> Paced<S> {
    /// No wait is longer than `idle`.
    pub(super) fn new(body: S, idle: Duration) -> Self {
        let allowance = Arc::new(AtomicU64::new(u64::MAX));
        Self { body: Box::pin(body), idle, received: 0, waited: Duration::ZERO, waiting: None, allowance }
    }

    /// Nothing comes any more after `limit` bytes, until the gate is opened.
    pub(super) fn gated(body: S, idle: Duration, limit: u64) -> (Self, Gate) {
        let paced = Self::new(body, idle);
        paced.allowance.store(limit, Ordering::Relaxed);
        let gate = Gate(Arc::clone(&paced.allowance));
        (paced, gate)
    }

    /// How much longer the sender may keep us waiting.
    fn patience(&self) -> Duration {
        let earned = Duration::from_secs(self.received / BYTES_PER_SECOND).max(GRACE);
        self.idle.min(earned.saturating_sub(self.waited))
    }
}

impl<S: Stream<Item = Result<Bytes, PayloadError>>> Stream for Paced<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.received >= self.allowance.load(Ordering::Relaxed) {
            return Poll::Ready(Some(Err(PayloadError::Overflow)));
        }
        match self.body.as_mut().poll_next(context) {
            Poll::Ready(chunk) => {
                if let Some(waiting) = self.waiting.take() {
                    self.waited += waiting.since.elapsed();
                }
                if let Some(Ok(bytes)) = &chunk {
                    self.received += bytes.len() as u64;
                }
                Poll::Ready(chunk)
            }
            Poll::Pending => {
                let patience = self.patience();
                let waiting = self.waiting.get_or_insert_with(|| Waiting {
                    since: Instant::now(),
                    end: Box::pin(tokio::time::sleep(patience)),
                });
                waiting.end.as_mut().poll(context).map(|()| Some(Err(PayloadError::Io(io::ErrorKind::TimedOut.into()))))
            }
        }
    }
}

/// What a body that did not come whole means to its sender.
pub(super) fn broken(error: &PayloadError) -> Error {
    if matches!(error, PayloadError::Io(io) if io.kind() == io::ErrorKind::TimedOut) {
        let detail = "The body came too slowly, or stopped coming. Send it again.";
        return Error::new(Code::DeadlineExceeded, detail);
    }
    Error::new(Code::MalformedRequest, "The body ended early.").caused_by(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;

    const IDLE: Duration = Duration::from_secs(60);

    fn every(pause: Duration, size: usize) -> impl Stream<Item = Result<Bytes, PayloadError>> {
        futures::stream::repeat(()).then(move |()| async move {
            tokio::time::sleep(pause).await;
            Ok(Bytes::from(vec![0; size]))
        })
    }

    async fn chunks_before_the_end(body: impl Stream<Item = Result<Bytes, PayloadError>>) -> usize {
        let taken = Paced::new(body, IDLE).take(200).take_while(|chunk| std::future::ready(chunk.is_ok()));
        taken.count().await
    }

    #[actix_web::test]
    async fn a_limit_holds_until_the_gate_opens() {
        let body = futures::stream::repeat_with(|| Ok(Bytes::from_static(&[0; 10])));
        let (mut paced, gate) = Paced::gated(body, IDLE, 20);
        assert!(paced.next().await.unwrap().is_ok());
        assert!(paced.next().await.unwrap().is_ok());
        assert!(matches!(paced.next().await.unwrap(), Err(PayloadError::Overflow)));
        gate.open();
        assert!(paced.next().await.unwrap().is_ok());
    }

    #[actix_web::test]
    async fn who_sends_nothing_is_not_waited_for() {
        let mut paced = Paced::new(futures::stream::pending(), Duration::from_millis(20));
        let error = paced.next().await.unwrap().unwrap_err();
        assert_eq!(broken(&error).code(), Code::DeadlineExceeded);
    }

    #[actix_web::test]
    async fn a_quick_sender_is_let_through() {
        assert_eq!(chunks_before_the_end(every(Duration::from_millis(1), 1)).await, 200);
    }

    #[test]
    fn patience_grows_with_what_has_come() {
        let mut paced = Paced::new(futures::stream::pending(), IDLE);
        assert_eq!(paced.patience(), GRACE);
        paced.received = 20 * BYTES_PER_SECOND;
        assert_eq!(paced.patience(), Duration::from_secs(20));
        paced.waited = Duration::from_secs(15);
        assert_eq!(paced.patience(), Duration::from_secs(5));
        paced.received = u64::MAX;
        assert_eq!(paced.patience(), IDLE);
    }
}
