//! Starting a run, and telling one to pause, go on, or end.

use rowhouse_database::Sql;
use rowhouse_domain::{MigrationDirection, MigrationRunId, MigrationRunState, MigrationVerify};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::IdempotencyKey;

use super::model::Run;
use super::overlap::{self, Rival};
use super::requests::{StartRun, Wanted};
use super::{ahead, claim, serving, store};
use crate::audit::{self, Change};
use crate::authentication::Caller;
use crate::context::Context;
use crate::idempotency::{self, Begun};

/// Records a run; workers find it.
pub(super) async fn start(context: &Context, caller: &Caller, key: &IdempotencyKey, body: &StartRun) -> Result<Run> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let claim = match idempotency::begin(&tx, caller, key, "POST /v1/migration-runs", body).await? {
        Begun::First(claim) => claim,
        Begun::Replay(recorded) => {
            let id: MigrationRunId = idempotency::recall(recorded)?;
            return found(&tx, id).await;
        }
    };
    let selection = body.selection.resolve(&tx).await?;
    let wanted = ahead::wanted(&tx, body, selection, &context.tenant_migrations).await?;
    can_be_taken_back(context, &tx, &wanted).await?;
    serving::check(&tx, &wanted).await?;
    overlap::lock(&tx).await?;
    // Two runs at work on one schema would bring it to either's version.
    if let Some(rival) = overlap::rivals(&tx, &wanted.selection).await?.first() {
        return Err(is_in_the_way(&tx, rival).await?);
    }
    let verify =
        if context.settings.migrations.verify_in_runs { MigrationVerify::All } else { MigrationVerify::Canaries };
    let id = store::insert(&tx, &wanted, verify, &caller.requester).await?;
    let run = found(&tx, id).await?;
    audit::append(&tx, &caller.requester, &Change::new("migration_run.start", id.as_uuid()).after(&run)).await?;
    claim.record(&tx, 201, &id).await?;
    tx.commit().await?;
    context.fleet_woken.notify_one();
    Ok(run)
}

/// What a later release has applied, only that one can take back: this one's run would wait for a worker that may not exist.
async fn can_be_taken_back(context: &Context, db: &impl Sql, wanted: &Wanted) -> Result<()> {
    let known = context.schema_version()?;
    let newest = store::newest_selected(db, &wanted.selection).await?.unwrap_or_default();
    if wanted.direction == MigrationDirection::Up || newest <= known {
        return Ok(());
    }
    let detail = format!(
        "schemas are at version {newest}, and this release knows 1 to {known}: have one that knows it take them back"
    );
    Err(Error::invalid_field("/to", detail))
}

async fn is_in_the_way(db: &impl Sql, rival: &Rival) -> Result<Error> {
    let other = found(db, rival.id).await?;
    let detail = if rival.has_ended {
        format!("Run {} was cancelled, and its last schemas are being finished. Try again in a moment.", other.id)
    } else {
        format!(
            "Run {} to version {} of {}, which {} {} started at {}, is {}, and may come to the same schemas. Wait for it, resume \
             it, or cancel it; or choose schemas of other clusters or organizations.",
            other.id,
            other.target_version,
            other.selection,
            other.started_by_kind,
            other.started_by.map_or_else(|| "itself".to_owned(), |id| id.to_string()),
            other.created_at,
            other.state,
        )
    };
    Ok(Error::new(Code::MigrationRunning, detail).with("run_id", other.id.to_string()))
}

/// What somebody may tell a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Begin with no further schema.
    Pause,
    /// Go on where it was paused or halted. What failed is tried again.
    Resume,
    /// End for good.
    Cancel,
    /// Try again what failed, and go on.
    Retry,
}

impl Order {
    fn audited(self) -> &'static str {
        match self {
            Self::Pause => "migration_run.pause",
            Self::Resume => "migration_run.resume",
            Self::Cancel => "migration_run.cancel",
            Self::Retry => "migration_run.retry",
        }
    }
}

/// Tells a run; asking twice for the same is no error.
pub(super) async fn tell(context: &Context, caller: &Caller, id: MigrationRunId, order: Order) -> Result<Run> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let state = store::lock(&tx, id).await?.ok_or_else(|| Error::not_found("migration run", id))?;
    let before = found(&tx, id).await?;
    use MigrationRunState::{Cancelled, Done, Halted, Paused, Running};
    match (order, state) {
        (_, Cancelled | Done) if order != Order::Cancel || state == Done => {
            let detail = format!("The run is {state}. Start another one.");
            return Err(Error::new(Code::MigrationRunEnded, detail));
        }
        (Order::Pause, Running) => store::set_state(&tx, id, Paused, Some("paused by an operator")).await?,
        (Order::Cancel, Running | Paused | Halted) => {
            store::settle(&tx, id).await?;
            store::set_state(&tx, id, Cancelled, Some("cancelled by an operator")).await?;
            claim::follow(&tx, id, &context.settings.migrations).await?;
        }
        (Order::Resume, Paused) => store::set_state(&tx, id, Running, None).await?,
        (Order::Resume, Halted) | (Order::Retry, Running | Paused | Halted) => {
            store::try_again(&tx, id).await?;
            if state == Halted {
                store::watch_again(&tx, id).await?;
            }
            store::set_state(&tx, id, Running, None).await?;
        }
        (Order::Pause, Paused | Halted | Cancelled | Done)
        | (Order::Resume, Running | Cancelled | Done)
        | (Order::Cancel | Order::Retry, Cancelled | Done) => {}
    }
    let run = found(&tx, id).await?;
    let change = Change::new(order.audited(), id.as_uuid()).before(&before).after(&run);
    audit::append(&tx, &caller.requester, &change).await?;
    tx.commit().await?;
    context.fleet_woken.notify_one();
    Ok(run)
}

async fn found(db: &impl Sql, id: MigrationRunId) -> Result<Run> {
    store::find(db, id).await?.ok_or_else(|| Error::not_found("migration run", id))
}
