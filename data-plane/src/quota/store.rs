//! Calls of the functions that `saas_platform` grants for quotas. Owns their SQL; decides nothing.

use std::time::Duration;

use rowhouse_database::{Columns, Described, PlatformPool, Sql};
use rowhouse_domain::{AccountId, ReservationId, TenantId};
use rowhouse_problem::{Code, Error, Result};

use super::exceeded;

const RESERVE: &str = "
    select granted, level, \"limit\", used, held from quota_reserve($1, $2, $3, make_interval(secs => $4), $5, $6)";

/// Reserves room for `bytes`, or for so many more under a reservation that exists; either way it lives for `ttl` from now.
/// Returns what it comes to: less than expected where an earlier one had run out and been given back.
///
/// # Errors
/// `quota_exceeded` naming the level that refuses, `quota_unavailable` where nobody can tell.
pub async fn reserve(
    platform: &PlatformPool,
    reservation: ReservationId,
    tenant: TenantId,
    account: Option<AccountId>,
    bytes: u64,
    ttl: Duration,
) -> Result<u64> {
    let bytes = i64::try_from(bytes).map_err(|_| Error::new(Code::TooLarge, "No store holds so many bytes."))?;
    u64::try_from(ask(platform, reservation, tenant, account, (bytes, 0), ttl).await?).map_err(Error::internal)
}

/// Counts so many workspaces more, before they are made or restored. As with bytes, that ends with the usage event of the change,
/// or after `ttl` where [`commit`] was not called.
///
/// # Errors
/// `limit_reached` where the organization would have more than it may, `quota_unavailable` where nobody can tell.
pub async fn reserve_workspaces(
    platform: &PlatformPool,
    reservation: ReservationId,
    tenant: TenantId,
    count: i32,
    ttl: Duration,
) -> Result<()> {
    ask(platform, reservation, tenant, None, (0, count), ttl).await.map(|_| ())
}

async fn ask(
    platform: &PlatformPool,
    reservation: ReservationId,
    tenant: TenantId,
    account: Option<AccountId>,
    (bytes, workspaces): (i64, i32),
    ttl: Duration,
) -> Result<i64> {
    let connection = platform.get().await.map_err(unavailable)?;
    let row = connection
        .query_one(RESERVE, &[&reservation, &tenant, &bytes, &ttl.as_secs_f64(), &account, &workspaces])
        .await
        .context("reserving room")
        .map_err(unavailable)?;
    if row.column("granted")? {
        return row.column("held");
    }
    let level: String = row.column("level")?;
    Err(exceeded(&level, row.column("limit")?, row.column("used")?))
}

/// Says that it is the quota that can't be asked.
fn unavailable(error: Error) -> Error {
    if error.code() == Code::Unavailable {
        return Error::new(Code::QuotaUnavailable, "Try again in a moment.").caused_by(error);
    }
    error
}

const COMMIT: &str = "select quota_commit($1, $2, $3) as held";

/// Keeps the reservation, however long it takes until it is settled or released: to be called before the commit that makes
/// its bytes permanent. Says whether `bytes` are held; otherwise there must be no commit.
///
/// # Errors
/// `quota_unavailable` where nobody can tell.
pub async fn commit(platform: &PlatformPool, reservation: ReservationId, tenant: TenantId, bytes: i64) -> Result<bool> {
    let connection = platform.get().await.map_err(unavailable)?;
    let row = connection
        .query_one(COMMIT, &[&reservation, &tenant, &bytes])
        .await
        .context("committing a reservation")
        .map_err(unavailable)?;
    row.column("held")
}

const LEASE: &str = "select quota_lease($1, $2, $3, $4, make_interval(secs => $5), $6) as size";

/// Leases a block of between so many bytes and so many, which lives for `ttl` until [`commit`] keeps it. None where there is not
/// enough room left for one.
///
/// # Errors
/// `quota_unavailable` where nobody can tell.
pub(super) async fn lease(
    platform: &PlatformPool,
    block: ReservationId,
    tenant: TenantId,
    account: Option<AccountId>,
    (smallest, largest): (u64, u64),
    ttl: Duration,
) -> Result<Option<i64>> {
    let bounds = (i64::try_from(smallest).map_err(Error::internal)?, i64::try_from(largest).map_err(Error::internal)?);
    let connection = platform.get().await.map_err(unavailable)?;
    let row = connection
        .query_one(LEASE, &[&block, &tenant, &bounds.0, &bounds.1, &ttl.as_secs_f64(), &account])
        .await
        .context("leasing a block of quota")
        .map_err(unavailable)?;
    row.column("size")
}

const GIVE_BACK: &str = "select quota_give_back($1, $2)";

/// Gives back what of a reservation was not spent and will not be; the rest stays. Of one that is gone there is nothing to give.
///
/// # Errors
/// Whatever the server says.
pub(crate) async fn give_back(platform: &PlatformPool, reservation: ReservationId, bytes: u64) -> Result<()> {
    let bytes = i64::try_from(bytes).map_err(Error::internal)?;
    let connection = platform.get().await?;
    connection.query_one(GIVE_BACK, &[&reservation, &bytes]).await.context("giving back a part of a reservation")?;
    Ok(())
}

const HAND_OVER: &str = "select quota_hand_over($1, $2, $3)";

/// Adds what other reservations of the tenant hold to this one, and ends them; those that are gone hold nothing.
///
/// # Errors
/// `quota_unavailable` where nobody can tell.
pub(crate) async fn hand_over(
    platform: &PlatformPool,
    from: &[ReservationId],
    to: ReservationId,
    tenant: TenantId,
) -> Result<()> {
    let connection = platform.get().await.map_err(unavailable)?;
    let handed_over = connection.query_one(HAND_OVER, &[&from, &to, &tenant]).await;
    handed_over.context("handing a reservation over").map_err(unavailable)?;
    Ok(())
}

const COMMITTING: &str = "select reservation from quota_committing($1) reservation";

/// The tenant's reservations that are kept by [`commit`], blocks aside.
///
/// # Errors
/// Whatever the server says.
pub(crate) async fn committing(platform: &PlatformPool, tenant: TenantId) -> Result<Vec<ReservationId>> {
    let connection = platform.get().await?;
    let rows = connection.query(COMMITTING, &[&tenant]).await.context("looking for reservations being committed")?;
    rows.iter().map(|row| row.column("reservation")).collect()
}

const RELEASE_ALL: &str = "select count(*) filter (where quota_release(id)) from unnest($1::uuid[]) as id";

/// Gives reservations back; those that are gone are fine.
pub(crate) async fn release_all(platform: &PlatformPool, reservations: &[ReservationId]) -> Result<()> {
    let connection = platform.get().await?;
    connection.query_one(RELEASE_ALL, &[&reservations]).await.context("releasing reservations")?;
    Ok(())
}

/// Gives a reservation back; one that is gone is fine.
///
/// # Errors
/// Whatever the server says.
pub async fn release(platform: &PlatformPool, reservation: ReservationId) -> Result<()> {
    release_all(platform, &[reservation]).await
}
