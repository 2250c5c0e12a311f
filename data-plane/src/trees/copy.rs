//! A folder is copied with what lies in it; the copies share the contents, and are charged as they are made. Where there is too
//! little room after all, nothing of the copy stays.

use rowhouse_database::{ActivePlacement, Sql};
use rowhouse_domain::{AccountId, Actor, ActorKind, FolderId, JobId, ReservationId};
use rowhouse_problem::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::store;
use super::{AT_ONCE, BATCH, RootKind};
use crate::changes::{Change, Verb, apply_in_background};
use crate::files::room::apply_with_room_in_background;
use crate::work::{self, NewJob, WorkContext};

/// In whose name a job makes a copy, and to whose account.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CopyOrder {
    root: RootKind,
    actor_kind: ActorKind,
    actor: Option<Uuid>,
    account: Option<AccountId>,
}

impl CopyOrder {
    /// An order of `actor`, who pays from `account`.
    pub fn new(actor: Actor, account: Option<AccountId>) -> Self {
        Self { root: RootKind::Folder, actor_kind: actor.kind, actor: actor.id, account }
    }

    fn actor(&self) -> Actor {
        Actor { kind: self.actor_kind, id: self.actor }
    }
}

/// Whether a copy was made at once.
pub enum Outcome {
    /// All of it.
    Done,
    /// A job goes on with it.
    Job(JobId),
}

/// The bytes that a copy of the folder takes.
///
/// # Errors
/// Whatever the server says.
pub async fn measure(tenant: &impl Sql, folder: FolderId) -> Result<i64> {
    store::measure(tenant, folder).await
}

/// Copies what lies in a folder into a new one, or queues the job that does. Ends the reservation, which was made for `room` bytes.
///
/// # Errors
/// `move_into_itself`, `job_running`, invalid where it would lie too deep; `quota_exceeded` and unavailable where more lies in it
/// than a moment before.
pub async fn begin_copy(
    change: &Change<'_>,
    source: FolderId,
    root: FolderId,
    order: &CopyOrder,
    (reservation, room): (ReservationId, i64),
) -> Result<Outcome> {
    let job = NewJob::copy(root, order);
    if !store::begin_copy(change, source, root, job.id(), AT_ONCE).await? {
        // The job reserves for itself, step by step: the room is there, as far as anybody knows.
        change.charge_files(0, 0, order.account, Some(reservation)).await?;
        work::enqueue(change, &job).await?;
        return Ok(Outcome::Job(job.id()));
    }
    let (mut files, mut bytes) = (0, 0);
    loop {
        let step =
            store::copy_step(change, (root, job.id()), AT_ONCE, room - bytes, order.actor(), order.account).await?;
        change.record_all(Verb::Made, &step.folders).await?;
        change.record_all(Verb::Made, &step.files).await?;
        files += step.files.len();
        bytes += step.bytes;
        match step.outcome.as_str() {
            "more" => {}
            "done" => break,
            "full" => return Err(Error::new(Code::QuotaExceeded, FULL).with("level", "workspace")),
            "room" => return Err(Error::unavailable("more came into the folder while it was copied")),
            other => return Err(Error::internal(format!("a step of a copy ended {other:?}"))),
        }
    }
    change.charge_files(files, bytes, order.account, Some(reservation)).await?;
    Ok(Outcome::Done)
}

const FULL: &str = "The workspace has no room for all that lies in the folder.";

/// Goes on with a copy until it is done. What is done stays done when the process dies; a copy that finds no room is removed again.
///
/// # Errors
/// Where the tenant's database or the quota fails.
pub async fn copy(
    context: &WorkContext,
    placement: &ActivePlacement,
    root: FolderId,
    job: JobId,
    order: &CopyOrder,
) -> Result<()> {
    if let Err(error) = go_on(context, placement, root, job, order).await {
        if !matches!(error.code(), Code::QuotaExceeded | Code::InvalidRequest) {
            return Err(error);
        }
        tracing::info!(job.id = %job, error = error.chain(), "a copy of a folder is given up");
        store::discard(&context.tenant(placement).await?, root, job, error.code()).await?;
    }
    // Also after a process that died at this.
    loop {
        let has_more = apply_in_background(context, placement, async |change| {
            let (has_more, files, bytes) = store::discard_step(change, root, job, BATCH).await?;
            if files > 0 {
                let files = usize::try_from(files).map_err(Error::internal)?;
                change.charge_files(files, -bytes, order.account, None).await?;
            }
            Ok(has_more)
        });
        if !has_more.await? {
            return Ok(());
        }
    }
}

async fn go_on(
    context: &WorkContext,
    placement: &ActivePlacement,
    root: FolderId,
    job: JobId,
    order: &CopyOrder,
) -> Result<()> {
    loop {
        let need = store::copy_need(&context.tenant(placement).await?, root, job, BATCH).await?;
        let Some(need) = need else { return Ok(()) };
        let payer = (order.actor(), order.account);
        let outcome = apply_with_room_in_background(context, placement, payer, need, async |change, reservation| {
            let step = store::copy_step(change, (root, job), BATCH, need, order.actor(), order.account).await?;
            if step.outcome == "done" {
                // Search is told when it may see it.
                change.record_tree(root).await?;
            }
            change.charge_files(step.files.len(), step.bytes, order.account, Some(reservation)).await?;
            Ok(step.outcome)
        });
        match outcome.await?.as_str() {
            // Larger files have come since they were measured.
            "more" | "room" => {}
            "done" | "cancelled" => return Ok(()),
            "full" => return Err(Error::new(Code::QuotaExceeded, FULL)),
            other => return Err(Error::internal(format!("a step of a copy ended {other:?}"))),
        }
    }
}
