//! Bytes that come to exist without an upload: a copy, an old version that is made the current one again. They share a blob and
//! are counted all the same.

use rowhouse_database::TenantTransaction;
use rowhouse_domain::ReservationId;
use rowhouse_problem::{Error, Result};

use super::cleanup::Debris;
use super::finalize::bucket;
use super::intents::{self, Intent};
use super::pulse::ran_out;
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::changes::{Change, LEASE};
use crate::idempotency::{self, Claim, Request};
use crate::quota;
use crate::state::AppState;

/// Makes a change for which organization, tenant and account must have room: `measure` says how much and what it has found,
/// `write` uses it, and charges it to the reservation.
///
/// As an upload does, it leaves an intent first, so that a reservation whose change never came is found and given back.
pub(super) async fn apply_with_room<T>(
    state: &AppState,
    request: &Request<'_>,
    measure: impl AsyncFnOnce(&TenantTransaction<'_>) -> Result<(T, i64)>,
    write: impl AsyncFnOnce(&Change<'_>, T, ReservationId) -> Result<Answer>,
) -> Result<Answer> {
    let caller = request.caller;
    let intent = Intent::new(caller.tenant());
    let (found, bytes, ticket) = {
        let mut tenant = caller.connection(state).await?;
        let transaction = tenant.transaction().await?;
        let ticket = match idempotency::claim(&transaction, request, LEASE).await? {
            Claim::Replay(answer) => return Ok(answer),
            Claim::Fresh(ticket) => ticket,
        };
        let (found, bytes) = measure(&transaction).await?;
        let ttl = state.settings.uploads.reservation_ttl;
        intents::store::insert(&transaction, &intent, bucket(state), Some(bytes), ttl, caller.actor()).await?;
        transaction.commit().await?;
        (found, bytes, ticket)
    };
    let mut debris = Debris::new(state.clone(), caller.clone(), intent.clone(), ticket);
    let outcome = async {
        reserve(state, caller, &intent, bytes).await?;
        let mut tenant = caller.connection(state).await?;
        let change = Change::begin(&mut tenant, caller.actor()).await?;
        let answer = write(&change, found, intent.reservation).await?;
        if !intents::store::fulfil(&change, intent.id).await? {
            return Err(ran_out());
        }
        if let Some(ticket) = ticket {
            ticket.complete(&change, &answer).await?;
        }
        debris.commit(change).await?;
        Ok(answer)
    };
    let outcome = outcome.await;
    // Does nothing where it has succeeded, or nobody knows.
    debris.clear().await;
    state.nudge.tenant(caller.tenant());
    outcome
}

/// Also marks the tenant as having work.
async fn reserve(state: &AppState, caller: &Caller, intent: &Intent, bytes: i64) -> Result<()> {
    let (platform, tenant) = (&state.platform, caller.tenant());
    let ttl = state.settings.uploads.reservation_ttl;
    let wanted = u64::try_from(bytes).map_err(Error::internal)?;
    quota::reserve(platform, intent.reservation, tenant, caller.account(), wanted, ttl).await?;
    if quota::commit(platform, intent.reservation, tenant, bytes).await? { Ok(()) } else { Err(ran_out()) }
}
