//! Signs of life of an upload: its reservation, its intent and its idempotency key last as long as it does, whether bytes
//! are coming, are waited for, or are being stored.

use std::sync::Arc;
use std::time::Duration;

use rowhouse_problem::{Code, Error, Result};
use tokio_util::task::AbortOnDropHandle;

use super::intents::{self, Intent};
use super::reservation::Reservation;
use crate::authentication::Caller;
use crate::idempotency::{Ticket, taken_over};
use crate::state::AppState;

/// How long a repetition of an upload is told to wait after the upload's process has died.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// Prolongs in the background, until it is dropped.
pub(super) struct Pulse(AbortOnDropHandle<Error>);

impl Pulse {
    pub(super) fn start(
        state: &AppState,
        caller: &Caller,
        intent: &Intent,
        ticket: Option<Ticket>,
        reservation: Arc<Reservation>,
    ) -> Self {
        let (state, caller, intent) = (state.clone(), caller.clone(), intent.clone());
        Self(AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::select! {
                error = keep_room(&state, &caller, &intent, &reservation) => error,
                error = keep_ticket(&state, &caller, ticket) => error,
            }
        })))
    }

    /// Waits until the upload has lost what it needs, which should never be. To be heard once.
    pub(super) async fn lost(&mut self) -> Error {
        (&mut self.0).await.unwrap_or_else(Error::internal)
    }
}

/// Three tries in each span, so that one or two may fail.
const TRIES: u32 = 3;

async fn keep_room(state: &AppState, caller: &Caller, intent: &Intent, reservation: &Reservation) -> Error {
    let ttl = state.settings.uploads.reservation_ttl;
    loop {
        tokio::time::sleep(ttl / TRIES).await;
        let prolonged = async {
            reservation.prolong().await?;
            let tenant = caller.connection(state).await?;
            intents::store::extend(&tenant, intent.id, ttl).await
        };
        match heard(prolonged.await) {
            Ok(true) => {}
            Ok(false) => return ran_out(),
            Err(error) => return error,
        }
    }
}

async fn keep_ticket(state: &AppState, caller: &Caller, ticket: Option<Ticket>) -> Error {
    let Some(ticket) = ticket else { return std::future::pending().await };
    loop {
        tokio::time::sleep(LEASE / TRIES).await;
        let prolonged = async {
            let tenant = caller.connection(state).await?;
            ticket.extend(&tenant, LEASE).await
        };
        match heard(prolonged.await) {
            Ok(true) => {}
            Ok(false) => return taken_over(),
            Err(error) => return error,
        }
    }
}

/// An outage is no answer: the next try may come through.
fn heard(prolonged: Result<bool>) -> Result<bool> {
    match prolonged {
        Err(error) if error.is_retryable() => {
            tracing::warn!(error = error.chain(), "an upload could not be prolonged");
            Ok(true)
        }
        answer => answer,
    }
}

/// Nobody heard of the upload for so long that what it held was given away.
pub(super) fn ran_out() -> Error {
    Error::new(Code::DeadlineExceeded, "The upload's time ran out. Send it again.")
}
