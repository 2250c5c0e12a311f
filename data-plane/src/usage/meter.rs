//! What tenants ask for and move, through either door, counted in this process's memory and reported as usage events every few seconds.
//!
//! Reported once, also where an answer is lost: an event keeps its id and time until it has come through. What was counted and
//! not reported yet dies with a killed process, at most [`PERIOD`] of it; a process that is told to stop reports it first. That
//! is the price of writing nothing for a request. Storage is never counted here: its events are in the tenant's own transactions.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;
use pin_project_lite::pin_project;
use rowhouse_database::PlatformPool;
use rowhouse_domain::TenantId;
use rowhouse_problem::Result;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::store;

/// How often it is reported.
const PERIOD: Duration = Duration::from_secs(5);
/// Events in one statement.
const AT_ONCE: usize = 300;

/// The counts of one tenant since they were reported last.
#[derive(Debug, Default)]
pub struct Counts {
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Counts {
    /// Counts bytes of a request's body.
    pub(crate) fn receive(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes of an answer's body.
    pub(crate) fn send(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn are_zero(&self) -> bool {
        [&self.requests, &self.received, &self.sent].iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }
}

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: Uuid,
    pub(super) tenant: TenantId,
    pub(super) at: Timestamp,
    pub(super) event_type: &'static str,
    pub(super) quantity: i64,
    pub(super) unit: &'static str,
}

/// The counts of all tenants.
#[derive(Debug, Default)]
pub struct Meter {
    counts: RwLock<HashMap<TenantId, Arc<Counts>>>,
    /// While these have not come through, nothing is taken from the counts: so it stays small, however long that takes.
    unsent: Mutex<Vec<Event>>,
}

impl Meter {
    /// Counts a request; what is moved is counted through the result.
    pub fn count(&self, tenant: TenantId) -> Arc<Counts> {
        let counts = self.of(tenant);
        counts.requests.fetch_add(1, Ordering::Relaxed);
        counts
    }

    /// The request with a body that is counted as it is read: what its head announces is the client's word alone.
    pub fn counting_body(&self, mut request: ServiceRequest, tenant: Option<TenantId>) -> ServiceRequest {
        let payload = request.take_payload();
        let counted: Payload = match tenant {
            Some(tenant) if !matches!(payload, Payload::None) => {
                let counts = self.of(tenant);
                let read = move |chunk: &std::result::Result<Bytes, PayloadError>| {
                    counts.receive(chunk.as_ref().map_or(0, Bytes::len));
                };
                Payload::Stream { payload: Box::pin(payload.inspect(read)) }
            }
            _ => payload,
        };
        request.set_payload(counted);
        request
    }

    fn of(&self, tenant: TenantId) -> Arc<Counts> {
        if let Some(counts) = self.counts.read().unwrap_or_else(PoisonError::into_inner).get(&tenant) {
            return Arc::clone(counts);
        }
        let mut counts = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counts.entry(tenant).or_default())
    }

    /// Reports for as long as the process lives.
    pub(crate) async fn run(self: Arc<Self>, platform: PlatformPool) {
        loop {
            tokio::time::sleep(PERIOD).await;
            if let Err(error) = self.report(&platform).await {
                tracing::warn!(error = error.chain(), "usage of the API waits to be reported");
            }
        }
    }

    /// Reports what was counted.
    ///
    /// # Errors
    /// Whatever the server says: then it is reported the next time.
    pub(crate) async fn report(&self, platform: &PlatformPool) -> Result<()> {
        let mut unsent = self.unsent.lock().await;
        if unsent.is_empty() {
            *unsent = self.take(Timestamp::now());
        }
        while !unsent.is_empty() {
            let batch = &unsent[..unsent.len().min(AT_ONCE)];
            store::record(&platform.get().await?, batch).await?;
            let sent = batch.len();
            unsent.drain(..sent);
        }
        Ok(())
    }

    fn take(&self, at: Timestamp) -> Vec<Event> {
        let mut counts = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        let events = counts
            .iter()
            .flat_map(|(tenant, counts)| {
                [
                    ("api", "requests", &counts.requests),
                    ("bandwidth_in", "bytes", &counts.received),
                    ("bandwidth_out", "bytes", &counts.sent),
                ]
                .map(|(event_type, unit, count)| (*tenant, event_type, unit, count.swap(0, Ordering::Relaxed)))
            })
            .filter(|(.., count)| *count > 0)
            .map(|(tenant, event_type, unit, count)| Event {
                id: Uuid::now_v7(),
                tenant,
                at,
                event_type,
                quantity: i64::try_from(count).unwrap_or(i64::MAX),
                unit,
            })
            .collect();
        // Whoever still sends for a tenant holds its counts.
        counts.retain(|_, counts| Arc::strong_count(counts) > 1 || !counts.are_zero());
        events
    }
}

pin_project! {
    /// A body whose bytes are counted as they are sent.
    pub struct Metered<B> {
        #[pin]
        body: B,
        counts: Option<Arc<Counts>>,
    }
}

impl<B> Metered<B> {
    /// Counts the bytes of `body`, where there is a tenant to count them for.
    pub fn new(body: B, counts: Option<Arc<Counts>>) -> Self {
        Self { body, counts }
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
        if let (Poll::Ready(Some(Ok(bytes))), Some(counts)) = (&polled, this.counts) {
            counts.send(bytes.len());
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_taken_once() {
        let (meter, tenant) = (Meter::default(), TenantId::new());
        let sending = meter.count(tenant);
        sending.receive(7);
        meter.count(tenant);
        let taken: Vec<_> =
            meter.take(Timestamp::now()).into_iter().map(|event| (event.event_type, event.quantity)).collect();
        assert_eq!(taken, [("api", 2), ("bandwidth_in", 7)]);
        assert_eq!(meter.take(Timestamp::now()), []);
        sending.send(5);
        drop(sending);
        assert_eq!(meter.take(Timestamp::now()).len(), 1);
        assert!(meter.counts.read().unwrap().is_empty());
    }
}
