//! What is counted and comes to exist without an upload: the bytes of a copy, or of an old version that is made the current one
//! again, which share a blob and are counted all the same; and workspaces.

use std::sync::Arc;

use rowhouse_database::{ActivePlacement, TenantTransaction};
use rowhouse_domain::{AccountId, Actor, ReservationId};
use rowhouse_problem::{Code, Error, Result};

use super::cleanup::Debris;
use super::finalize::bucket;
use super::intents::{self, Intent};
use super::pulse::ran_out;
use super::reservation::Reservation;
use crate::answer::Answer;
use crate::changes::{Change, LEASE};
use crate::idempotency::{self, Claim, Request};
use crate::quota;
use crate::state::AppState;
use crate::work::WorkContext;

/// What a refusal of room means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing is done.
    OfAll,
    /// What found no room is left out.
    OfEach,
}

/// Bytes that come to exist by one request, under one reservation.
pub(super) struct Room {
    /// It ends with the one charge of the change, or is given back.
    pub(super) reservation: ReservationId,
    /// For each of the amounts that were asked for: why there is no room for it, where that is so.
    pub(super) refused: Vec<Option<Error>>,
}

/// Makes a change for which organization, tenant and account must have room: `measure` says how much and what it has found,
/// `write` uses it, and charges it to the reservation.
///
/// # Errors
/// Those of `measure` and `write`, `quota_exceeded`.
pub(crate) async fn apply_with_room<T>(
    state: &AppState,
    request: &Request<'_>,
    measure: impl AsyncFnOnce(&TenantTransaction<'_>) -> Result<(T, i64)>,
    write: impl AsyncFnOnce(&Change<'_>, T, ReservationId) -> Result<Answer>,
) -> Result<Answer> {
    let measure = async |tenant: &TenantTransaction<'_>| {
        let (found, bytes) = measure(tenant).await?;
        Ok((found, vec![bytes]))
    };
    let write = async |change: &Change<'_>, found: T, room: Room| write(change, found, room.reservation).await;
    apply_with_rooms(state, request, Refusal::OfAll, measure, write).await
}

/// The same for several amounts, of which some may find room and others none.
pub(super) async fn apply_with_rooms<T>(
    state: &AppState,
    request: &Request<'_>,
    refusal: Refusal,
    measure: impl AsyncFnOnce(&TenantTransaction<'_>) -> Result<(T, Vec<i64>)>,
    write: impl AsyncFnOnce(&Change<'_>, T, Room) -> Result<Answer>,
) -> Result<Answer> {
    let measure = async |tenant: &TenantTransaction<'_>| {
        let (found, amounts) = measure(tenant).await?;
        let bytes = amounts.iter().sum();
        Ok(((found, amounts), bytes))
    };
    let reserve = async |reservation: &Reservation, (_, amounts): &(T, Vec<i64>)| match self::reserve(
        reservation,
        amounts.iter().sum(),
    )
    .await
    {
        Ok(()) => Ok(amounts.iter().map(|_| None).collect()),
        Err(error) if refusal == Refusal::OfEach && error.code() == Code::QuotaExceeded => {
            reserve_each(reservation, amounts).await
        }
        Err(error) => Err(error),
    };
    let write = async |change: &Change<'_>, (found, _), refused, reservation| {
        write(change, found, Room { reservation, refused }).await
    };
    apply_reserved(state, request, measure, reserve, write).await
}

/// Makes a change for which the organization must have room for so many more workspaces as `measure` says: they are counted before
/// it, and `write` reports them under the reservation.
///
/// # Errors
/// Those of `measure` and `write`, `limit_reached`.
pub(crate) async fn apply_with_workspaces<T>(
    state: &AppState,
    request: &Request<'_>,
    measure: impl AsyncFnOnce(&TenantTransaction<'_>) -> Result<(T, i32)>,
    write: impl AsyncFnOnce(&Change<'_>, T, ReservationId) -> Result<Answer>,
) -> Result<Answer> {
    let measure = async |tenant: &TenantTransaction<'_>| Ok((measure(tenant).await?, 0));
    let reserve = async |reservation: &Reservation, (_, count): &(T, i32)| {
        reservation.open_workspaces(*count).await?;
        reservation.commit(0).await
    };
    let write = async |change: &Change<'_>, (found, _), (), reservation| write(change, found, reservation).await;
    apply_reserved(state, request, measure, reserve, write).await
}

/// Makes a change for which `reserve` finds room, between what `measure` finds and what `write` makes of it.
///
/// As an upload does, it leaves an intent first, so that a reservation whose change never came is found and given back. Without a
/// sign of life: where it takes longer than the intent lasts, it is refused at its end.
async fn apply_reserved<T, R>(
    state: &AppState,
    request: &Request<'_>,
    measure: impl AsyncFnOnce(&TenantTransaction<'_>) -> Result<(T, i64)>,
    reserve: impl AsyncFnOnce(&Reservation, &T) -> Result<R>,
    write: impl AsyncFnOnce(&Change<'_>, T, R, ReservationId) -> Result<Answer>,
) -> Result<Answer> {
    let caller = request.caller;
    let intent = Intent::new(caller.tenant());
    let (found, ticket) = {
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
        (found, ticket)
    };
    let reservation = Arc::new(Reservation::new(state.clone(), caller.clone(), intent.reservation));
    let mut debris = Debris::new(state.clone(), caller.clone(), intent.clone(), ticket, Arc::clone(&reservation));
    let outcome = async {
        let reserved = reserve(&reservation, &found).await?;
        let mut tenant = caller.connection(state).await?;
        let change = Change::begin(&mut tenant, caller.actor()).await?;
        let charged = reservation.spend_in(&change).await?;
        let answer = write(&change, found, reserved, charged).await?;
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
async fn reserve(reservation: &Reservation, bytes: i64) -> Result<()> {
    reservation.open(Some(u64::try_from(bytes).map_err(Error::internal)?)).await?;
    reservation.commit(bytes).await
}

/// Each amount that finds room, in their order.
async fn reserve_each(reservation: &Reservation, amounts: &[i64]) -> Result<Vec<Option<Error>>> {
    let (mut refused, mut held) = (Vec::with_capacity(amounts.len()), 0);
    // What nothing is to be added to must be there: it is committed in the end.
    reservation.grow(0).await?;
    for amount in amounts {
        match reservation.grow(u64::try_from(*amount).map_err(Error::internal)?).await {
            Ok(()) => {
                held += amount;
                refused.push(None);
            }
            Err(error) if error.code() == Code::QuotaExceeded => refused.push(Some(error)),
            Err(error) => return Err(error),
        }
    }
    reservation.commit(held).await?;
    Ok(refused)
}

/// The same for work behind the scenes: `bytes` are reserved for what `write` makes in the name of `actor`.
///
/// # Errors
/// Those of `write`, `quota_exceeded`.
pub(crate) async fn apply_with_room_in_background<T>(
    context: &WorkContext,
    placement: &ActivePlacement,
    (actor, account): (Actor, Option<AccountId>),
    bytes: i64,
    write: impl AsyncFnOnce(&Change<'_>, ReservationId) -> Result<T>,
) -> Result<T> {
    let (platform, tenant, ttl) = (&context.platform, placement.get().tenant, context.reservation_ttl);
    let intent = Intent::new(tenant);
    let reservation = intent.reservation;
    let connection = context.tenant(placement).await?;
    intents::store::insert(&connection, &intent, &context.bucket, Some(bytes), ttl, actor).await?;
    drop(connection);
    let mut is_committing = false;
    let outcome = async {
        let wanted = u64::try_from(bytes).map_err(Error::internal)?;
        quota::reserve(platform, reservation, tenant, account, wanted, ttl).await?;
        if !quota::commit(platform, reservation, tenant, bytes).await? {
            return Err(ran_out());
        }
        let mut connection = context.tenant(placement).await?;
        let change = Change::begin(&mut connection, actor).await?;
        let made = write(&change, reservation).await?;
        if !intents::store::fulfil(&change, intent.id).await? {
            return Err(ran_out());
        }
        // Past this nobody knows how it ended where no answer comes: then the intent's end finds out.
        is_committing = true;
        change.commit().await?;
        Ok(made)
    };
    let outcome = outcome.await;
    if outcome.is_err() && !is_committing {
        quota::release(platform, reservation).await?;
        intents::store::delete(&context.tenant(placement).await?, intent.id).await?;
    }
    outcome
}
