//! Asking for a sweep.

use rowhouse_domain::{SweepCause, SweepId};
use rowhouse_problem::{Error, Result};
use rowhouse_web::IdempotencyKey;

use super::model::Sweep;
use super::routes::StartSweep;
use super::store;
use crate::audit::{self, Change};
use crate::authentication::Caller;
use crate::context::Context;
use crate::idempotency::{self, Begun};

/// Records a sweep; the leader finds it.
pub(super) async fn start(
    context: &Context,
    caller: &Caller,
    key: &IdempotencyKey,
    body: &StartSweep,
) -> Result<Sweep> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let claim = match idempotency::begin(&tx, caller, key, "POST /v1/schema-sweeps", body).await? {
        Begun::First(claim) => claim,
        Begun::Replay(recorded) => {
            let id: SweepId = idempotency::recall(recorded)?;
            return found(&tx, id).await;
        }
    };
    let selection = body.selection.resolve(&tx).await?;
    let id = store::insert(&tx, SweepCause::Operator, &selection, &caller.requester).await?;
    let sweep = found(&tx, id).await?;
    audit::append(&tx, &caller.requester, &Change::new("schema_sweep.start", id.as_uuid()).after(&sweep)).await?;
    claim.record(&tx, 201, &id).await?;
    tx.commit().await?;
    context.sweep_asked.notify_one();
    Ok(sweep)
}

async fn found(db: &impl rowhouse_database::Sql, id: SweepId) -> Result<Sweep> {
    store::find(db, id).await?.ok_or_else(|| Error::not_found("sweep", id))
}
