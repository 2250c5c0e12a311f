//! What an upload leaves to clean up when it comes to nothing, whichever way it ends.

use std::error::Error as _;
use std::sync::Arc;

use rowhouse_problem::{Error, Result};
use tokio_postgres::error::Severity;

use super::intents::{self, Intent};
use super::reservation::{self, Reservation};
use crate::authentication::Caller;
use crate::changes::Change;
use crate::contents::blob_failure;
use crate::idempotency::Ticket;
use crate::state::AppState;

/// The traces of an upload: cleaned up unless [`Debris::commit`] succeeds, also when the request is dropped half-way.
pub(super) struct Debris(Option<Traces>);

struct Traces {
    state: AppState,
    caller: Caller,
    intent: Intent,
    ticket: Option<Ticket>,
    reservation: Arc<Reservation>,
    /// The object may still come to exist.
    is_object_pending: bool,
}

impl Debris {
    pub(super) fn new(
        state: AppState,
        caller: Caller,
        intent: Intent,
        ticket: Option<Ticket>,
        reservation: Arc<Reservation>,
    ) -> Self {
        Self(Some(Traces { state, caller, intent, ticket, reservation, is_object_pending: false }))
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

    /// Commits. Nothing is cleaned up afterwards unless the server has refused: without an answer nobody knows whether what was
    /// written is there, and what a lost commit leaves is found by its intent.
    pub(super) async fn commit(&mut self, change: Change<'_>) -> Result<()> {
        let Some(traces) = self.0.take() else { return change.commit().await };
        // Before: this may be dropped while the server is at it.
        let spent = traces.reservation.spend();
        let outcome = change.commit().await;
        if let Err(error) = &outcome
            && is_refusal(error)
        {
            traces.reservation.unspend(spent);
            self.0 = Some(traces);
        }
        outcome
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
    /// Each step is tried; what can't be done now is done when the intent expires, or by the sweep that finds a reservation which
    /// nothing stands for.
    async fn remove(self) {
        let object = self.state.contents.delete(self.intent.object).await.map_err(blob_failure);
        let reservation = self.end_reservation().await;
        let rows = self.remove_rows(object.is_ok() && reservation.is_ok() && !self.is_object_pending).await;
        for error in [object, reservation, rows].into_iter().filter_map(Result::err) {
            tracing::warn!(error = error.chain(), "a failed upload could not be cleaned up at once");
        }
    }

    async fn end_reservation(&self) -> Result<()> {
        if self.intent.ends.is_none() {
            return self.reservation.release().await;
        }
        // The parts are still there, and have it reserved, unless their upload has ended meanwhile.
        self.reservation.leave();
        let tenant = self.caller.connection(&self.state).await?;
        reservation::end(&self.state.platform, &tenant, self.intent.reservation, self.intent.id).await
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

/// Whether the server has said that it did not commit. Anything else is an unknown outcome: no answer at all, or the end of
/// the session, which can come after the commit.
fn is_refusal(error: &Error) -> bool {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    let Some(answer) = causes.find_map(|cause| cause.downcast_ref::<tokio_postgres::Error>()?.as_db_error()) else {
        return false;
    };
    let code = answer.code().code();
    answer.parsed_severity() == Some(Severity::Error) && !code.starts_with("08") && !code.starts_with("57P")
}
