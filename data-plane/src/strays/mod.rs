//! Objects that no row names are looked for from time to time: what a lost row, or a database of yesterday, has left behind. They are
//! noted, so that `rowhouse doctor` names them, and nothing is removed: that is the doctor's, where it is asked to.

mod store;

use std::time::{Duration, SystemTime};

use futures::{StreamExt as _, TryStreamExt as _};
use rowhouse_database::ActivePlacement;
use rowhouse_domain::TenantId;
use rowhouse_problem::Result;

use crate::contents::blob_failure;
use crate::placements;
use crate::work::WorkContext;

/// A younger object may be an upload's that is being recorded.
const YOUNGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Objects whose rows are looked for at once.
const AT_ONCE: usize = 500;
/// Tenants that are claimed at once, and the pause after each.
const CLAIMED: i32 = 10;
const PAUSE: Duration = Duration::from_millis(50);
/// How soon is asked again where no tenant was due, and how soon a tenant is due again that could not be looked at.
const IDLE: Duration = Duration::from_secs(60);
const PUT_OFF: Duration = Duration::from_secs(60 * 60);

/// Looks through the objects of all tenants for as long as the process lives. Several replicas share the work: a tenant is one's.
pub(crate) async fn run(context: WorkContext) {
    let every = context.scrub.strays_every;
    if every.is_zero() {
        return;
    }
    loop {
        match claim(&context, every).await {
            Ok(tenants) if tenants.is_empty() => tokio::time::sleep(every.min(IDLE)).await,
            Ok(tenants) => {
                for tenant in tenants {
                    look(&context, tenant).await;
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), "the look through all objects has to wait");
                tokio::time::sleep(IDLE).await;
            }
        }
    }
}

async fn claim(context: &WorkContext, every: Duration) -> Result<Vec<TenantId>> {
    store::claim(&context.platform.get().await?, every, CLAIMED).await
}

async fn look(context: &WorkContext, tenant: TenantId) {
    let Err(error) = tenant_objects(context, tenant).await else { return };
    tracing::warn!(tenant.id = %tenant, error = error.chain(), "a tenant's objects could not be looked through");
    let put_off = async { store::put_off(&context.platform.get().await?, tenant, PUT_OFF).await };
    if let Err(error) = put_off.await {
        tracing::warn!(tenant.id = %tenant, error = error.chain(), "nor is it known that they could not");
    }
}

/// Looks for the rows of a tenant's objects, a few at a time and not too fast. No connection is held while objects are listed.
async fn tenant_objects(context: &WorkContext, tenant: TenantId) -> Result<()> {
    let placement = placements::find_active(&context.platform.get().await?, tenant).await?;
    let Some(placement) = placement else { return Ok(()) };
    store::forget_found(&context.tenant(&placement).await?).await?;
    let mut lists = context.contents.list(tenant).try_chunks(AT_ONCE);
    while let Some(objects) = lists.next().await {
        let objects = objects.map_err(|error| blob_failure(error.1))?;
        let pause = Duration::from_secs(objects.len() as u64) / context.scrub.objects_per_second;
        let eldest = SystemTime::now().checked_sub(YOUNGEST).unwrap_or(SystemTime::UNIX_EPOCH);
        let old: Vec<String> =
            objects.iter().filter(|object| object.modified < eldest).map(|object| object.key.to_string()).collect();
        if !old.is_empty() {
            note(context, &placement, &old).await?;
        }
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

async fn note(context: &WorkContext, placement: &ActivePlacement, objects: &[String]) -> Result<()> {
    let noted = store::note(&context.tenant(placement).await?, &context.bucket, objects).await?;
    if noted > 0 {
        metrics::counter!("rowhouse_stray_objects_total").increment(noted);
        tracing::warn!(tenant.id = %placement.get().tenant, objects = noted, "objects that no row names lie in the store");
    }
    Ok(())
}
