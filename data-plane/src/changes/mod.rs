//! Every change to content passes here: files, folders and workspaces say what has happened to them, and what follows from
//! it (search, bills) is queued in the same transaction, here and nowhere else.
//!
//! [`apply`] and [`apply_once`] are a change from its first statement to its commit. Who needs more than one transaction,
//! or must know how the commit ended, begins a [`Change`] of its own and calls `work::mark` before and `Nudge::tenant` after.

mod change;
mod event;

use std::time::Duration;

use rowhouse_database::ActivePlacement;
use rowhouse_domain::Actor;
use rowhouse_problem::Result;

use crate::answer::Answer;
use crate::authentication::Caller;
use crate::idempotency::{self, Claim, Request};
use crate::state::AppState;
use crate::work::{self, WorkContext};

pub use change::Change;
pub use event::{Charge, Subject, Verb};

/// A change is one short transaction: whoever holds a key longer than this has died.
pub const LEASE: Duration = Duration::from_secs(60);

/// Writes in one transaction of the caller's tenant.
///
/// # Errors
/// Whatever `write` says: then nothing has changed. Whatever the commit says: then nobody knows.
pub async fn apply<T>(
    state: &AppState,
    caller: &Caller,
    write: impl AsyncFnOnce(&Change<'_>) -> Result<T>,
) -> Result<T> {
    work::mark(&state.platform, &state.nudge, caller.tenant()).await?;
    let mut connection = caller.connection(state).await?;
    let change = Change::begin(&mut connection, caller.actor()).await?;
    let result = write(&change).await?;
    change.commit().await?;
    state.nudge.tenant(caller.tenant());
    Ok(result)
}

/// The same for work behind the scenes, which makes its change in nobody's name.
///
/// # Errors
/// Those of [`apply`].
pub async fn apply_in_background<T>(
    context: &WorkContext,
    placement: &ActivePlacement,
    write: impl AsyncFnOnce(&Change<'_>) -> Result<T>,
) -> Result<T> {
    work::mark(&context.platform, &context.nudge, placement.get().tenant).await?;
    let mut connection = context.tenant(placement).await?;
    let change = Change::begin(&mut connection, Actor::SYSTEM).await?;
    let result = write(&change).await?;
    change.commit().await?;
    Ok(result)
}

/// The same as [`apply`] for a request that may be repeated: it is written once, and every repetition gets the first one's answer.
///
/// # Errors
/// Those of [`apply`]; `idempotency_mismatch` and `request_in_flight` for the key.
pub async fn apply_once(
    state: &AppState,
    request: &Request<'_>,
    write: impl AsyncFnOnce(&Change<'_>) -> Result<Answer>,
) -> Result<Answer> {
    apply(state, request.caller, async |change| match idempotency::claim(change, request, LEASE).await? {
        Claim::Replay(answer) => Ok(answer),
        Claim::Fresh(ticket) => {
            let answer = write(change).await?;
            if let Some(ticket) = ticket {
                ticket.complete(change, &answer).await?;
            }
            Ok(answer)
        }
    })
    .await
}
