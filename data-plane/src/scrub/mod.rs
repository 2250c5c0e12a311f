//! Contents are read again from time to time and compared with their hashes, so that a disk's or a bucket's loss is known before
//! somebody asks for the file, and while there are backups that still have it.

mod pace;
mod store;
mod verdict;

use std::time::Duration;

use rowhouse_database::ActivePlacement;
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};

pub(crate) use self::pace::Pace;
use self::store::Due;
use self::verdict::{Verdict, look};
use crate::placements;
use crate::work::{Rounds, WorkContext};

/// Every tenant is asked this often what is due.
const WALK: Duration = Duration::from_secs(24 * 60 * 60);

/// Walks over all tenants for as long as the process lives. Several replicas share the work: a content is one's at a time.
pub(crate) async fn run(context: WorkContext) {
    if context.scrub.every.is_zero() {
        return;
    }
    let mut pace = Pace::new(context.scrub.bytes_per_second);
    let mut rounds = Rounds::new(context.platform.clone(), WALK);
    loop {
        let tenant = rounds.next().await;
        if let Err(error) = tenant_contents(&context, &mut pace, tenant).await {
            tracing::warn!(tenant.id = %tenant, error = error.chain(), "a tenant's contents could not be looked at");
        }
    }
}

/// Reads what is due of a tenant's contents. One that can't be read stands in no other's way.
async fn tenant_contents(context: &WorkContext, pace: &mut Pace, tenant: TenantId) -> Result<()> {
    let placement = placements::find_active(&context.platform.get().await?, tenant).await?;
    let Some(placement) = placement else { return Ok(()) };
    // Fixed, so that this ends.
    let began = store::now(&context.tenant(&placement).await?).await?;
    let since = began.checked_sub(context.scrub.every).map_err(Error::internal)?;
    loop {
        let due = store::claim(&context.tenant(&placement).await?, since, began).await?;
        if due.is_empty() {
            return Ok(());
        }
        for content in &due {
            verify(context, pace, &placement, content).await?;
        }
    }
}

/// Reads one content and writes down what it was. No connection is held meanwhile.
async fn verify(context: &WorkContext, pace: &mut Pace, placement: &ActivePlacement, due: &Due) -> Result<()> {
    let verdict = look(&context.contents, pace, due).await?;
    let tenant = context.tenant(placement).await?;
    match verdict {
        Verdict::Sound => store::note_sound(&tenant, due).await,
        Verdict::Damaged(damage) => {
            if store::note_damage(&tenant, due, damage).await? {
                metrics::counter!("rowhouse_contents_damaged_total", "damage" => damage.as_str()).increment(1);
                tracing::error!(
                    tenant.id = %placement.get().tenant, object = %due.object.key, damage = damage.as_str(),
                    "a content is not what was stored"
                );
            }
            Ok(())
        }
        Verdict::Unknown(error) => {
            metrics::counter!("rowhouse_contents_unread_total").increment(1);
            tracing::warn!(
                tenant.id = %placement.get().tenant, object = %due.object.key, error = error.chain(),
                "a content could not be looked at"
            );
            store::put_off(&tenant, due, WALK).await
        }
    }
}
