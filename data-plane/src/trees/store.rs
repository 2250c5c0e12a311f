//! The functions of a tenant's database that walk trees, and what hides a tree meanwhile: `covers`.

use std::time::Duration;

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::JobId;
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
        .on_constraint("covers_inside_check", || {
            Error::new(Code::JobRunning, "Something in it is being restored or copied. Wait for that job.")
                .retry_after(PATIENCE)
        })
        .context("beginning with a tree")?
        .column("is_done")
}

const STEP: &str = "select tree_step($1, $2, $3) as outcome";

/// Deals with about `most` folders and files more, in a transaction of its own.
pub(super) async fn step(tenant: &impl Sql, root: Uuid, job: JobId, most: i32) -> Result<String> {
    let row = tenant.query_one(STEP, &[&root, &job, &most]).await.context("going on with a tree")?;
    row.column("outcome")
}
