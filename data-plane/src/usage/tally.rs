//! What one request moves, from its first byte to its last.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use pin_project_lite::pin_project;
use rowhouse_domain::TenantId;

use super::meter::Meter;
use super::record::Moved;

/// A request that moves more is written down each time that it has moved so much: so much of it dies with a process at most.
const PIECE: u64 = 1024 * 1024;

/// A request of a tenant, written down at its end, whatever that is.
#[derive(Debug)]
pub struct Tally {
    meter: Arc<Meter>,
    tenant: TenantId,
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Tally {
    /// One that is not counted as a request yet: nobody may be there any more to take its answer.
    pub(super) fn new(meter: Arc<Meter>, tenant: TenantId) -> Self {
        let [requests, received, sent] = [const { AtomicU64::new(0) }; 3];
        Self { meter, tenant, requests, received, sent }
    }

    /// Whose it is.
    pub(crate) fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Counts it as a request.
    pub(crate) fn count(&self) {
        self.requests.store(1, Ordering::Relaxed);
    }

    /// Counts bytes of its body.
    pub(crate) fn receive(&self, bytes: usize) {
        self.add(&self.received, bytes);
    }

    fn send(&self, bytes: usize) {
        self.add(&self.sent, bytes);
    }

    fn add(&self, count: &AtomicU64, bytes: usize) {
        let bytes = bytes as u64;
        if count.fetch_add(bytes, Ordering::Relaxed) + bytes >= PIECE {
            self.write();
        }
    }

    /// Writes down what was not yet.
    fn write(&self) {
        let [requests, received, sent] =
            [&self.requests, &self.received, &self.sent].map(|count| count.swap(0, Ordering::Relaxed));
        let moved = Moved { requests, received, sent };
        if moved != Moved::default() {
            self.meter.add(self.tenant, moved);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.write();
    }
}

/// An answer on its way: it is written down before its last piece leaves, so that no client holds one that was not.
#[derive(Debug)]
pub(crate) struct Outgoing {
    tally: Arc<Tally>,
    /// Bytes that are to come, where that is known.
    left: Option<u64>,
}

impl Outgoing {
    /// An answer of so many bytes; one without any leaves with its head.
    pub(crate) fn new(tally: Arc<Tally>, size: Option<u64>) -> Self {
        if size == Some(0) {
            tally.write();
        }
        Self { tally, left: size }
    }

    /// Counts a piece that is to leave next. After the announced ones none does: a `HEAD` is answered with the head alone, also where
    /// there is a body.
    pub(crate) fn piece(&mut self, bytes: usize) {
        if self.left == Some(0) {
            return;
        }
        self.tally.send(bytes);
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(bytes as u64);
            if *left == 0 {
                self.end();
            }
        }
    }

    /// Nothing else comes.
    pub(crate) fn end(&self) {
        self.tally.write();
    }
}

pin_project! {
    /// A body whose bytes are counted as they are sent.
    pub(crate) struct Metered<B> {
        #[pin]
        body: B,
        outgoing: Option<Outgoing>,
    }
}

impl<B: MessageBody> Metered<B> {
    /// Counts the bytes of `body`, where there is a tenant to count them for. `is_head` says that the head is all that is sent.
    pub(crate) fn new(body: B, tally: Option<Arc<Tally>>, is_head: bool) -> Self {
        let size = match body.size() {
            BodySize::None => Some(0),
            BodySize::Sized(size) => Some(size),
            BodySize::Stream => None,
        };
        let size = if is_head { Some(0) } else { size };
        Self { body, outgoing: tally.map(|tally| Outgoing::new(tally, size)) }
    }
}

impl<B: MessageBody> MessageBody for Metered<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Bytes, B::Error>>> {
        let this = self.project();
        let polled = this.body.poll_next(context);
        if let (Poll::Ready(piece), Some(outgoing)) = (&polled, this.outgoing) {
            match piece {
                Some(Ok(bytes)) => outgoing.piece(bytes.len()),
                Some(Err(_)) | None => outgoing.end(),
            }
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn begun() -> (Arc<Meter>, Arc<Tally>) {
        let meter = Arc::new(Meter::new(PathBuf::new()));
        let tally = meter.begin(TenantId::new());
        tally.count();
        (meter, tally)
    }

    fn counted(meter: &Meter) -> Vec<Moved> {
        meter.in_memory().into_values().collect()
    }

    #[test]
    fn a_request_is_written_down_with_its_last_piece_and_before_that_each_time_it_has_moved_much() {
        let (meter, tally) = begun();
        tally.receive(3);
        let mut answer = Outgoing::new(Arc::clone(&tally), Some(PIECE + 10));
        answer.piece(5);
        assert_eq!(counted(&meter), []);
        answer.piece(1024 * 1024 - 5);
        assert_eq!(counted(&meter), [Moved { requests: 1, received: 3, sent: PIECE }]);
        answer.piece(9);
        assert_eq!(counted(&meter)[0].sent, PIECE);
        answer.piece(1);
        assert_eq!(counted(&meter), [Moved { requests: 1, received: 3, sent: PIECE + 10 }]);
        tally.receive(PIECE as usize);
        assert_eq!(counted(&meter)[0].received, PIECE + 3);
        tally.receive(1);
        drop((answer, tally));
        assert_eq!(counted(&meter), [Moved { requests: 1, received: PIECE + 4, sent: PIECE + 10 }]);
    }

    #[test]
    fn an_answer_without_a_body_and_one_of_unknown_length_are_written_down_at_their_ends() {
        let (meter, tally) = begun();
        Outgoing::new(tally, Some(0)).piece(7);
        assert_eq!(counted(&meter), [Moved { requests: 1, ..Moved::default() }]);
        let (meter, tally) = begun();
        let mut answer = Outgoing::new(tally, None);
        answer.piece(2);
        assert_eq!(counted(&meter), []);
        answer.end();
        assert_eq!(counted(&meter), [Moved { requests: 1, received: 0, sent: 2 }]);
    }
}
