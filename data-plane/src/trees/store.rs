//! The functions of a tenant's database that walk trees, and what hides a tree meanwhile: `covers`.

use std::time::Duration;

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{AccountId, Actor, FileId, FolderId, JobId};
use rowhouse_problem::{Code, Error, Result};
use uuid::Uuid;

use super::{RootKind, Task};

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
        .on_constraint("covers_purge_check", || {
            Error::new(Code::Gone, "It is being purged, with what lies in it, and can't be restored any more.")
        })
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

const PURGE_BEGIN: &str = "select tree_purge_begin($1, $2, $3) as is_begun";

/// Has a job purge a deleted folder or workspace; not where another job is at it.
pub(super) async fn begin_purge(transaction: &impl Sql, kind: RootKind, root: Uuid, job: JobId) -> Result<bool> {
    let row = transaction.query_one(PURGE_BEGIN, &[&kind.as_str(), &root, &job]).await;
    row.context("beginning with a purge")?.column("is_begun")
}

const PURGE_ADOPT: &str = "select tree_purge_adopt($1, $2) as goes_on";

/// Makes everything in there go along. Says whether the job is to go on.
pub(super) async fn adopt(transaction: &impl Sql, root: Uuid, job: JobId) -> Result<bool> {
    let row = transaction.query_one(PURGE_ADOPT, &[&root, &job]).await;
    row.context("taking along what was deleted before")?.column("goes_on")
}

const PURGE_FILES: &str = "select id from files where deleted_with = $1 order by id limit $2";

/// Files that are purged next.
pub(super) async fn doomed_files(tenant: &impl Sql, root: Uuid, most: i64) -> Result<Vec<FileId>> {
    let rows = tenant.query(PURGE_FILES, &[&root, &most]).await.context("looking for files to purge")?;
    rows.iter().map(|row| row.column("id")).collect()
}

const ADVANCE: &str = "update jobs set done = done + $2 where tenant_id = app_tenant_id() and id = $1";

/// Says that a job has dealt with so many more.
pub(super) async fn advance(transaction: &impl Sql, job: JobId, handled: usize) -> Result<()> {
    let handled = i64::try_from(handled).map_err(Error::internal)?;
    transaction.execute(ADVANCE, &[&job, &handled]).await.context("noting a job's progress")?;
    Ok(())
}

const PURGE_FOLDERS: &str = "select tree_purge_folders($1, $2, $3) as gone";

/// Removes folders that nothing lies in any more, and says how many.
pub(super) async fn purge_folders(transaction: &impl Sql, root: Uuid, job: JobId, most: i32) -> Result<i32> {
    let row = transaction.query_one(PURGE_FOLDERS, &[&root, &job, &most]).await;
    row.context("purging folders")?.column("gone")
}

const PURGE_END: &str = "select tree_purge_end($1, $2)";

/// Removes the root.
pub(super) async fn end_purge(transaction: &impl Sql, root: Uuid, job: JobId) -> Result<()> {
    transaction.query_one(PURGE_END, &[&root, &job]).await.context("purging a folder or workspace")?;
    Ok(())
}

const MEASURE: &str = "select items, bytes from tree_measure($1)";

/// How many live folders and files lie in a folder, itself included, and the bytes that a copy of it takes.
pub(super) async fn measure(tenant: &impl Sql, folder: FolderId) -> Result<(i64, i64)> {
    let row = tenant.query_one(MEASURE, &[&folder]).await.context("measuring a folder")?;
    Ok((row.column("items")?, row.column("bytes")?))
}

const BEGIN_COPY: &str = "select tree_copy_begin($1, $2, $3)";

/// Begins to copy what lies in a folder into a new one.
pub(super) async fn begin_copy(transaction: &impl Sql, source: FolderId, root: FolderId, job: JobId) -> Result<()> {
    transaction
        .query_one(BEGIN_COPY, &[&source, &root, &job])
        .await
        .on_constraint("covers_inside_check", job_running)
        .on_constraint("folders_no_cycle_check", || {
            Error::new(Code::MoveIntoItself, "The folder that the copy is to go to is the folder itself or lies in it.")
        })
        .on_constraint("folders_depth_check", || {
            Error::invalid_field("/parent_id", "lies too deep: a folder, and what is in it, lies at most 64 deep")
        })
        .context("beginning to copy a folder")?;
    Ok(())
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

/// Gives a copy up, for a reason.
pub(super) async fn discard(tenant: &impl Sql, root: FolderId, job: JobId, reason: Code) -> Result<()> {
    tenant.query_one(DISCARD, &[&root, &job, &reason.as_str()]).await.context("giving a copy up")?;
    Ok(())
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
