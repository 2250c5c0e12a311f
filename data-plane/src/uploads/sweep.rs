//! Uploads in parts that nobody has gone on with for too long.

use jiff::Timestamp;
use rowhouse_database::{PlatformPool, TenantConnection};
use rowhouse_problem::Result;

use super::{end, store};
use crate::quota;

/// Uploads that one sweep ends; what is left waits for the next.
const AT_ONCE: i64 = 100;

/// Ends what is past its time; the objects are removed by the sweep of intents, which comes after this one.
///
/// # Errors
/// Whatever the server says; what was not done is found again.
pub(crate) async fn expired(tenant: &mut TenantConnection, platform: &PlatformPool) -> Result<()> {
    if store::next_expiry(tenant).await?.is_none_or(|next| next > Timestamp::now()) {
        return Ok(());
    }
    let transaction = tenant.transaction().await?;
    let reservations = end::forget_expired(&transaction, AT_ONCE).await?;
    transaction.commit().await?;
    for reservation in reservations {
        // One that ran out by itself is gone.
        quota::release(platform, reservation).await?;
    }
    Ok(())
}
