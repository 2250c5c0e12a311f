//! The functions of a tenant's database that walk trees, and what hides a tree meanwhile: `covers`.

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{AccountId, Actor, FileId, FolderId, JobId};
use rowhouse_problem::{Code, Error, Result};
use uuid::Uuid;

use super::{Root, RootKind, Task};

/// How soon what a job is at work in may be tried again.
const PATIENCE: Duration = Duration::from_secs(5);

const BEGIN: &str = "select tree_begin($1, $2, $3, $4, $5) as is_done";

/// Deals with what lies in the root where that is at most `most`, else leaves it to the job under a cover.
pub(super) async fn begin(
    transaction: &impl Sql,
    kind: RootKind,
    root: Uuid,
    task: Task,
    job: JobId,
    most: i32,
) -> Result<bool> {
    transaction
        .query_one(BEGIN, &[&kind.as_str(), &root, &task.as_str(), &job, &most])
        .await
        .on_constraint("covers_inside_check", job_running)
        .context("beginning with a tree")?
        .column("is_done")
}

fn job_running() -> Error {
    Error::new(Code::JobRunning, "Something in it is being deleted, restored or copied. Wait for that job.")
        .retry_after(PATIENCE)
}

const CHECK: &str = "select tree_check('folder', $1, $2, false)";

/// Refuses to move a folder while a job makes something in it; to another workspace also while one deletes something there, for
/// what the job hides would be charged to nobody.
///
/// # Errors
/// `job_running`.
pub async fn check_move(transaction: &impl Sql, folder: FolderId, to_another_workspace: bool) -> Result<()> {
    transaction
        .query_one(CHECK, &[&folder, &to_another_workspace])
        .await
        .on_constraint("covers_inside_check", job_running)
        .context("looking for jobs in a folder")?;
    Ok(())
}

const CHECK_RESTORE: &str = "select tree_check_restore($1, $2)";

/// Refuses to restore what lies in something that is being purged, or is it.
///
/// # Errors
/// `gone`.
pub async fn check_restore(transaction: &impl Sql, root: Root) -> Result<()> {
    let (kind, id) = root.parts();
    transaction
        .query_one(CHECK_RESTORE, &[&kind.as_str(), &id])
        .await
        .on_constraint("covers_purge_check", || {
            Error::new(Code::Gone, "It is being purged, or what it lies in, and can't be restored any more.")
        })
        .context("looking for purges")?;
    Ok(())
}

const REVIVE: &str = "select tree_revive(make_interval(secs => $1)) as due";

/// Queues jobs again that were given up so long ago while their covers hide or charge something. Says when the next is due.
pub(super) async fn revive(tenant: &impl Sql, pause: Duration) -> Result<Option<Timestamp>> {
    let row = tenant.query_one(REVIVE, &[&pause.as_secs_f64()]).await;
    row.context("looking for jobs that were given up")?.column("due")
}

// Those that a job is at are left to it.
const DUE: &str = "
    select kind, id from (
        (select 'folder' as kind, id, deleted_at from folders
        where deleted_at < now() - make_interval(secs => $1) and deleted_with is null
            and not exists (select from covers where covers.id = folders.id)
        order by deleted_at limit $2)
        union all
        (select 'workspace', id, deleted_at from workspaces
        where deleted_at < now() - make_interval(secs => $1) and deleted_with is null
            and not exists (select from covers where covers.id = workspaces.id)
        order by deleted_at limit $2)
    ) due order by deleted_at limit $2";

/// Folders and workspaces that were deleted by themselves so long ago, the earliest first; none that a job is at.
pub(super) async fn due(tenant: &impl Sql, age: Duration, limit: i64) -> Result<Vec<Root>> {
    let rows = tenant.query(DUE, &[&age.as_secs_f64(), &limit]).await.context("looking into the trash")?;
    rows.iter().map(|row| Ok(Root::new(RootKind::from_text(row.column("kind")?)?, row.column("id")?))).collect()
}

const OLDEST_DELETION: &str = "
    select least(
        (select deleted_at from folders where deleted_at is not null and deleted_with is null
            and not exists (select from covers where covers.id = folders.id)
        order by deleted_at limit 1),
        (select deleted_at from workspaces where deleted_at is not null and deleted_with is null
            and not exists (select from covers where covers.id = workspaces.id)
        order by deleted_at limit 1)
    ) as deleted_at";

/// When the one was deleted that was deleted first, where there is any.
pub(super) async fn oldest_deletion(tenant: &impl Sql) -> Result<Option<Timestamp>> {
    let row = tenant.query_one(OLDEST_DELETION, &[]).await.context("looking for the oldest deletion")?;
    row.column("deleted_at")
}

const PURGE_BEGIN: &str = "select tree_purge_begin($1, $2, $3) as job";

/// Has a job purge a deleted folder or workspace, and names it: another than `job` where one was given up and goes on now, none where
/// another one is at it.
pub(super) async fn begin_purge(
    transaction: &impl Sql,
    kind: RootKind,
    root: Uuid,
    job: JobId,
) -> Result<Option<JobId>> {
    transaction
        .query_one(PURGE_BEGIN, &[&kind.as_str(), &root, &job])
        .await
        .on_constraint("covers_inside_check", job_running)
        .context("beginning with a purge")?
        .column("job")
}

const PURGE_STEP: &str = "select outcome, doomed from tree_purge_step($1, $2, $3, $4)";

/// Removes about `most` folders, or names up to `most_files` files that are to be purged in the same transaction. Says whether there
/// is more to do.
pub(super) async fn purge_step(
    transaction: &impl Sql,
    root: Uuid,
    job: JobId,
    most: i32,
    most_files: i32,
) -> Result<(bool, Vec<FileId>)> {
    let row = transaction.query_one(PURGE_STEP, &[&root, &job, &most, &most_files]).await.context("purging")?;
    let outcome: &str = row.column("outcome")?;
    Ok((outcome == "more", row.column("doomed")?))
}

const ADVANCE: &str = "update jobs set done = done + $2 where tenant_id = app_tenant_id() and id = $1";

/// Says that a job has dealt with so many more.
pub(super) async fn advance(transaction: &impl Sql, job: JobId, handled: usize) -> Result<()> {
    let handled = i64::try_from(handled).map_err(Error::internal)?;
    transaction.execute(ADVANCE, &[&job, &handled]).await.context("noting a job's progress")?;
    Ok(())
}

const MEASURE: &str = "select tree_measure($1) as bytes";

/// The bytes of the live files in a folder.
pub(super) async fn measure(tenant: &impl Sql, folder: FolderId) -> Result<i64> {
    tenant.query_one(MEASURE, &[&folder]).await.context("measuring a folder")?.column("bytes")
}

const BEGIN_COPY: &str = "select tree_copy_begin($1, $2, $3, $4) as is_little";

/// Begins to copy what lies in a folder into a new one. Says whether that is at most `most` folders and files.
pub(super) async fn begin_copy(
    transaction: &impl Sql,
    source: FolderId,
    root: FolderId,
    job: JobId,
    most: i32,
) -> Result<bool> {
    transaction
        .query_one(BEGIN_COPY, &[&source, &root, &job, &most])
        .await
        .on_constraint("covers_inside_check", job_running)
        .on_constraint("folders_no_cycle_check", || {
            Error::new(Code::MoveIntoItself, "The folder that the copy is to go to is the folder itself or lies in it.")
        })
        .on_constraint("folders_depth_check", || {
            Error::invalid_field("/parent_id", "lies too deep: a folder, and what is in it, lies at most 64 deep")
        })
        .context("beginning to copy a folder")?
        .column("is_little")
}

const COPY_NEED: &str = "select tree_copy_need($1, $2, $3) as bytes";

/// The bytes that the next step of a copy needs room for; none where it is not to go on.
pub(super) async fn copy_need(tenant: &impl Sql, root: FolderId, job: JobId, most: i32) -> Result<Option<i64>> {
    let row = tenant.query_one(COPY_NEED, &[&root, &job, &most]).await.context("measuring a step of a copy")?;
    row.column("bytes")
}

/// What a step of a copy has made.
pub(super) struct Copied {
    pub(super) outcome: String,
    pub(super) folders: Vec<FolderId>,
    pub(super) files: Vec<FileId>,
    pub(super) bytes: i64,
}

const COPY_STEP: &str = "select outcome, new_folders, new_files, bytes from tree_copy_step($1, $2, $3, $4, $5, $6, $7)";

/// Copies about `most` files more, of at most `room` bytes.
pub(super) async fn copy_step(
    transaction: &impl Sql,
    (root, job): (FolderId, JobId),
    most: i32,
    room: i64,
    actor: Actor,
    account: Option<AccountId>,
) -> Result<Copied> {
    let row = transaction
        .query_one(COPY_STEP, &[&root, &job, &most, &room, &actor.kind, &actor.id, &account])
        .await
        .on_constraint("folders_depth_check", || {
            Error::invalid_field("/parent_id", "lies too deep: a folder, and what is in it, lies at most 64 deep")
        })
        .context("going on with a copy")?;
    Ok(Copied {
        outcome: row.column("outcome")?,
        folders: row.column("new_folders")?,
        files: row.column("new_files")?,
        bytes: row.column("bytes")?,
    })
}

const DISCARD: &str = "select tree_discard($1, $2, $3)";

/// Gives a copy up, for a reason that its job is to show.
pub(super) async fn discard(tenant: &impl Sql, root: FolderId, job: JobId, reason: Code) -> Result<()> {
    tenant.query_one(DISCARD, &[&root, &job, &reason.as_str()]).await.context("giving a copy up")?;
    Ok(())
}

const CANCEL: &str = "select tree_cancel($1) as is_cancelled";

/// Has the copy that a job makes taken back; false where it makes none any more.
///
/// # Errors
/// Whatever the server says.
pub async fn cancel(transaction: &impl Sql, job: JobId) -> Result<bool> {
    let row = transaction.query_one(CANCEL, &[&job]).await;
    row.context("cancelling a copy")?.column("is_cancelled")
}

const DISCARD_STEP: &str = "select outcome, files_gone, bytes from tree_discard_step($1, $2, $3)";

/// Removes about `most` files of a copy that was given up: whether there are more, how many went, and the bytes of them.
pub(super) async fn discard_step(
    transaction: &impl Sql,
    root: FolderId,
    job: JobId,
    most: i32,
) -> Result<(bool, i64, i64)> {
    let row = transaction.query_one(DISCARD_STEP, &[&root, &job, &most]).await.context("removing a copy")?;
    let outcome: &str = row.column("outcome")?;
    Ok((outcome == "more", row.column("files_gone")?, row.column("bytes")?))
}

const STEP: &str = "select tree_step($1, $2, $3) as outcome";

/// Deals with about `most` folders and files more, in a transaction of its own.
pub(super) async fn step(tenant: &impl Sql, root: Uuid, job: JobId, most: i32) -> Result<String> {
    let row = tenant.query_one(STEP, &[&root, &job, &most]).await.context("going on with a tree")?;
    row.column("outcome")
}
