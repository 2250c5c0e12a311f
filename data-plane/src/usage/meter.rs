//! What tenants ask for and move, through either door, reported as usage events every few seconds.
//!
//! Each request is written into the journal at its end and counted from there, so that a killed process loses none and none is
//! counted twice. Where there is no journal, or the disk refuses, requests are counted in memory: what was not reported yet dies
//! with a killed process then, at most [`PERIOD`] of it; a process that is told to stop reports it first. Storage is never
//! counted here: its events are in the tenant's own transactions.

use std::collections::HashMap;
use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;
use rowhouse_database::PlatformPool;
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};
use uuid::Uuid;

use super::journal::Journal;
use super::record::{Event, Moved};
use super::store;
use super::tally::Tally;

/// How often it is reported.
const PERIOD: Duration = Duration::from_secs(5);
/// Events in one statement.
const AT_ONCE: usize = 300;

/// The counts of all tenants.
#[derive(Debug)]
pub struct Meter {
    journal: Option<Arc<Journal>>,
    /// What is in no journal.
    memory: Mutex<HashMap<TenantId, Moved>>,
    waiting: tokio::sync::Mutex<Waiting>,
}

/// What could not be reported yet.
#[derive(Debug, Default)]
struct Waiting {
    /// From memory. While these have not come through, nothing else is taken from there: so it stays small, however long that
    /// takes; and each keeps its id and time until then.
    events: Vec<Event>,
    /// Segments of the journal.
    segments: u32,
}

impl Meter {
    /// With a journal in a folder; without one where the folder has no name.
    pub fn new(journal: PathBuf) -> Self {
        let journal = Some(journal).filter(|folder| !folder.as_os_str().is_empty());
        Self {
            journal: journal.map(|folder| Arc::new(Journal::new(folder))),
            memory: Mutex::default(),
            waiting: tokio::sync::Mutex::default(),
        }
    }

    /// Begins to count what a request moves.
    pub fn begin(self: &Arc<Self>, tenant: TenantId) -> Arc<Tally> {
        Arc::new(Tally::new(Arc::clone(self), tenant))
    }

    /// The request with a body that is counted as it is read: what its head announces is the client's word alone.
    pub fn counting_body(mut request: ServiceRequest, tally: Option<&Arc<Tally>>) -> ServiceRequest {
        let payload = request.take_payload();
        let counted: Payload = match tally {
            Some(tally) if !matches!(payload, Payload::None) => {
                let tally = Arc::clone(tally);
                let read = move |chunk: &std::result::Result<Bytes, PayloadError>| {
                    tally.receive(chunk.as_ref().map_or(0, Bytes::len));
                };
                Payload::Stream { payload: Box::pin(payload.inspect(read)) }
            }
            _ => payload,
        };
        request.set_payload(counted);
        request
    }

    /// Counts what a request came to.
    pub(super) fn add(&self, tenant: TenantId, moved: Moved) {
        if self.journal.as_ref().is_some_and(|journal| journal.append(tenant, moved)) {
            return;
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        *memory.entry(tenant).or_default() += moved;
    }

    #[cfg(test)]
    pub(super) fn in_memory(&self) -> HashMap<TenantId, Moved> {
        self.memory.lock().unwrap().clone()
    }

    /// Reports for as long as the process lives, first what another has left.
    pub(crate) async fn run(self: Arc<Self>, platform: PlatformPool) {
        loop {
            if let Err(error) = self.report(&platform, Last::No).await {
                tracing::warn!(error = error.chain(), "usage of the API waits to be reported");
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Reports what was counted.
    ///
    /// # Errors
    /// Whatever the server says: then it is reported the next time.
    pub(crate) async fn report(&self, platform: &PlatformPool, last: Last) -> Result<()> {
        let mut waiting = self.waiting.lock().await;
        if waiting.events.is_empty() {
            waiting.events = self.take(Timestamp::now());
        }
        let of_memory = mem::take(&mut waiting.events);
        if let Err(error) = record(platform, &of_memory).await {
            waiting.events = of_memory;
            return Err(error);
        }
        match &self.journal {
            Some(journal) => report_journal(journal, platform, last, &mut waiting.segments).await,
            None => Ok(()),
        }
    }

    fn take(&self, at: Timestamp) -> Vec<Event> {
        let counts = mem::take(&mut *self.memory.lock().unwrap_or_else(PoisonError::into_inner));
        counts.into_iter().flat_map(|(tenant, moved)| moved.events(tenant, at, |_| Uuid::now_v7())).collect()
    }
}

/// Whether a report is this process's last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    Yes,
    No,
}

async fn record(platform: &PlatformPool, events: &[Event]) -> Result<()> {
    for batch in events.chunks(AT_ONCE) {
        store::record(&platform.get().await?, batch).await?;
    }
    Ok(())
}

/// Reports the segments that nobody writes any more. While some wait, the next are written for as many periods as there are:
/// so that there are few of them, however long that takes.
async fn report_journal(journal: &Arc<Journal>, platform: &PlatformPool, last: Last, waiting: &mut u32) -> Result<()> {
    let age = if last == Last::Yes { Duration::ZERO } else { PERIOD.saturating_mul(*waiting) };
    let is_kept = *waiting > 0;
    let segments = on_disk(journal, move |journal| {
        journal.close(age, is_kept);
        journal.others()
    })
    .await?;
    *waiting = u32::try_from(segments.len()).unwrap_or(u32::MAX);
    for segment in segments {
        let reported = match on_disk(journal, move |journal| journal.take(segment)).await {
            Ok(Some(taken)) => {
                record(platform, &taken.events).await?;
                on_disk(journal, move |journal| journal.delete(&taken)).await
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        // One that can't be read must not hold up the others.
        if let Err(error) = reported {
            tracing::warn!(error = error.chain(), %segment, "a segment of the usage journal stays");
        }
        *waiting -= 1;
    }
    Ok(())
}

/// Does what may wait for the disk beside the requests.
async fn on_disk<T: Send + 'static>(
    journal: &Arc<Journal>,
    what: impl FnOnce(&Journal) -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let journal = Arc::clone(journal);
    let done = tokio::task::spawn_blocking(move || what(&journal)).await.map_err(Error::internal)?;
    done.map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_taken_once() {
        let (meter, tenant) = (Arc::new(Meter::new(PathBuf::new())), TenantId::new());
        for _ in 0..2 {
            let tally = meter.begin(tenant);
            tally.count();
            tally.receive(7);
        }
        let taken: Vec<_> =
            meter.take(Timestamp::now()).into_iter().map(|event| (event.event_type, event.quantity)).collect();
        assert_eq!(taken, [("api", 2), ("bandwidth_in", 14)]);
        assert_eq!(meter.take(Timestamp::now()), []);
    }

    #[test]
    fn what_is_in_the_journal_is_not_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let meter = Arc::new(Meter::new(folder.path().join("usage")));
        meter.begin(TenantId::new()).count();
        assert_eq!(meter.take(Timestamp::now()), []);
        assert_eq!(std::fs::read_dir(folder.path().join("usage")).unwrap().count(), 1);
    }
}
