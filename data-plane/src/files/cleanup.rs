//! What an upload leaves to clean up when it comes to nothing, whichever way it ends.

use rowhouse_problem::Result;

use super::failure::blob_failure;
use super::intents::{self, Intent};
use crate::authentication::Caller;
use crate::idempotency::Ticket;
use crate::quota;
use crate::state::AppState;

/// The traces of an upload: cleaned up unless [`Debris::keep`] is called, also when the request is dropped half-way.
pub(super) struct Debris(Option<Traces>);

/// Traces that are not to be removed, unless [`Debris::take_back`] is called.
pub(super) struct Kept(Option<Traces>);

struct Traces {
    state: AppState,
    caller: Caller,
    intent: Intent,
    ticket: Option<Ticket>,
    /// The object may still come to exist.
    is_object_pending: bool,
}

impl Debris {
    pub(super) fn new(state: AppState, caller: Caller, intent: Intent, ticket: Option<Ticket>) -> Self {
        Self(Some(Traces { state, caller, intent, ticket, is_object_pending: false }))
    }

    /// Storing the object has begun, and what is stored late would outlive a removal that came too early: until
    /// [`Self::object_settled`] the intent stays, whose expiry looks again.
    pub(super) fn object_pending(&mut self) {
        self.set_pending(true);
    }

    /// The store has said how it ended.
    pub(super) fn object_settled(&mut self) {
        self.set_pending(false);
    }

    fn set_pending(&mut self, pending: bool) {
        if let Some(traces) = &mut self.0 {
            traces.is_object_pending = pending;
        }
    }

    /// The upload succeeded, or nobody knows: nothing may be undone any more. What a lost commit leaves is found by its intent.
    pub(super) fn keep(&mut self) -> Kept {
        Kept(self.0.take())
    }

    /// It turned out that the upload did not succeed.
    pub(super) fn take_back(&mut self, kept: Kept) {
        self.0 = kept.0;
    }

    /// Cleans up now, so that what was reserved is free when the caller hears of the failure.
    pub(super) async fn clear(&mut self) {
        if let Some(traces) = self.0.take() {
            // In a task of its own: a client that went away is often the very reason, and then this future is dropped next.
            let _ = tokio::spawn(traces.remove()).await;
        }
    }
}

impl Drop for Debris {
    fn drop(&mut self) {
        let Some(traces) = self.0.take() else { return };
        // Without a runtime the process is ending: the intent's expiry does it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            metrics::counter!("rowhouse_uploads_cancelled_total").increment(1);
            runtime.spawn(traces.remove());
        }
    }
}

impl Traces {
    /// Each step is tried; what can't be done now is done when the intent expires.
    async fn remove(self) {
        let object = self.state.blobs.delete(self.intent.object).await.map_err(blob_failure);
        let reservation = quota::release(&self.state.platform, self.intent.reservation).await;
        let rows = self.remove_rows(object.is_ok() && reservation.is_ok() && !self.is_object_pending).await;
        for error in [object, reservation, rows].into_iter().filter_map(Result::err) {
            tracing::warn!(error = error.chain(), "a failed upload could not be cleaned up at once");
        }
    }

    async fn remove_rows(&self, nothing_left: bool) -> Result<()> {
        let tenant = self.caller.connection(&self.state).await?;
        if let Some(ticket) = self.ticket {
            ticket.release(&tenant).await?;
        }
        if nothing_left {
            intents::store::delete(&tenant, self.intent.id).await?;
        }
        Ok(())
    }
}
