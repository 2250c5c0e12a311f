//! The beginning of an upload in parts, and every end of it but the good one.

use rowhouse_database::{Sql, TenantTransaction};
use rowhouse_domain::{ReservationId, UploadId};
use rowhouse_problem::{Error, Result};

use super::{NewSession, Protocol, Session, store};
use crate::authentication::Caller;
use crate::files::doors;
use crate::state::AppState;
use crate::{quota, work};

/// Records an upload and reserves what it says that it will need.
pub(crate) async fn begin(state: &AppState, caller: &Caller, new: NewSession) -> Result<Session> {
    let ttl = state.settings.uploads.session_ttl;
    let length = new.length.map(u64::try_from).transpose().map_err(Error::internal)?.unwrap_or(0);
    doors::check_size(state, length)?;
    let reservation = ReservationId::new();
    work::mark(&state.platform, &state.nudge, caller.tenant()).await?;
    // The row first: a reservation that nobody knows of ends by itself, but only in a day.
    let tenant = caller.connection(state).await?;
    let expires_at = store::insert(&tenant, &new, reservation, ttl, caller.actor()).await?;
    let (of, account) = (caller.tenant(), caller.account());
    if let Err(error) = quota::reserve(&state.platform, reservation, of, account, length, ttl).await {
        store::delete(&tenant, &[new.id]).await?;
        return Err(error);
    }
    let created_at = jiff::Timestamp::now();
    Ok(Session { new, received: 0, reservation, made: None, expires_at, created_at })
}

/// Ends an upload, whatever has come of it; one that is not there is a mistake.
pub(crate) async fn abandon(state: &AppState, caller: &Caller, id: UploadId, protocol: Protocol) -> Result<()> {
    work::mark(&state.platform, &state.nudge, caller.tenant()).await?;
    let reservation = {
        let mut tenant = caller.connection(state).await?;
        let transaction = tenant.transaction().await?;
        let found = store::lock(&transaction, id, protocol).await?;
        let reservation = found.ok_or_else(|| Error::not_found("upload", id))?;
        forget(&transaction, &[id]).await?;
        transaction.commit().await?;
        reservation
    };
    if let Some(reservation) = reservation {
        quota::release(&state.platform, reservation).await?;
    }
    state.nudge.tenant(caller.tenant());
    Ok(())
}

/// Forgets uploads in a transaction, their objects left to the sweep.
pub(super) async fn forget(transaction: &impl Sql, ids: &[UploadId]) -> Result<()> {
    store::drop_parts(transaction, ids).await?;
    store::delete(transaction, ids).await
}

/// Says that an upload has become a file, in the transaction that records the file.
pub(crate) async fn finish(transaction: &impl Sql, id: UploadId, file: &crate::files::model::File) -> Result<()> {
    let pieces = store::finish(transaction, id, file.id, file.current_version, &file.checksum).await?;
    let ended = || Error::new(rowhouse_problem::Code::RequestInFlight, "The upload has ended meanwhile.");
    let pieces = pieces.ok_or_else(ended)?;
    if !pieces.is_empty() {
        // Their room is the file's now.
        let pieces = store::lock_pieces(transaction, &pieces).await?;
        forget(transaction, &pieces).await?;
    }
    store::drop_parts(transaction, &[id]).await
}

/// What a transaction of a sweep does; here so that all ends are in one place.
pub(super) async fn forget_expired(transaction: &TenantTransaction<'_>, limit: i64) -> Result<Vec<ReservationId>> {
    let (ids, reservations): (Vec<UploadId>, Vec<_>) = store::expired(transaction, limit).await?.into_iter().unzip();
    if !ids.is_empty() {
        forget(transaction, &ids).await?;
    }
    Ok(reservations.into_iter().flatten().collect())
}
