//! Tenant table `jobs`, as those see it who wait for one.

use jiff::Timestamp;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{ContentKeyId, FolderId, JobId, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use tokio_postgres::Row;
use uuid::Uuid;

use super::model::JobState;
use super::views::JobView;
use crate::trees::RootKind;
use crate::work::JobKind;

const FIND: &str = "
    select id, kind, subject_id, payload ->> 'root' as root, state, done, total, last_error, created_at, finished_at from jobs
    where id = $1 and kind = any($2)";

/// A job that somebody may wait for.
pub(crate) async fn find(tenant: &impl Sql, id: JobId) -> Result<JobView> {
    let row = tenant.query_opt(FIND, &[&id, &JobKind::watched()]).await.context("reading a job")?;
    view(&row.ok_or_else(|| Error::not_found("job", id))?)
}

// With the kinds that somebody may wait for as the index has them, however many others there are.
const LIST: &str = "
    select id, kind, subject_id, payload ->> 'root' as root, state, done, total, last_error, created_at, finished_at from jobs
    where kind in ('delete_tree', 'restore_tree', 'purge_tree', 'copy_tree', 'reseal_contents')
        and ($1::text is null or state = $1) and (created_at, id) < ($2, $3)
    order by created_at desc, id desc limit $4";

/// Jobs that somebody may wait for, the newest first, behind the one of this time and id.
pub(super) async fn list(
    tenant: &impl Sql,
    state: Option<JobState>,
    (time, id): (Timestamp, Uuid),
    limit: i64,
) -> Result<Vec<JobView>> {
    let state = state.map(JobState::as_str);
    let rows = tenant.query(LIST, &[&state, &time, &id, &limit]).await.context("listing jobs")?;
    rows.iter().map(view).collect()
}

fn view(row: &Row) -> Result<JobView> {
    let subject: Uuid = row.column("subject_id")?;
    Ok(JobView {
        id: row.column("id")?,
        kind: row.column("kind")?,
        subject: match row.column::<Option<&str>>("root")?.map(RootKind::from_text).transpose()? {
            Some(RootKind::Folder) => FolderId::from_uuid(subject).to_string(),
            Some(RootKind::Workspace) => WorkspaceId::from_uuid(subject).to_string(),
            None => ContentKeyId::from_uuid(subject).to_string(),
        },
        state: row.column("state")?,
        done: row.column("done")?,
        total: row.column("total")?,
        error: match row.column("state")? {
            "failed" => Some(why_it_failed(row.column("last_error")?)),
            "cancelled" => Some(why_it_was_cancelled(row.column("last_error")?)),
            _ => None,
        },
        created_at: row.column::<Timestamp>("created_at")?.into(),
        finished_at: row.column::<Option<Timestamp>>("finished_at")?.map(Into::into),
    })
}

/// A copy ends for a reason that has a code; anything else is for the log alone.
fn why_it_failed(last_error: Option<&str>) -> &'static str {
    match last_error {
        Some(code) if code == Code::QuotaExceeded.as_str() => {
            "A quota had no room for all of it; nothing of it was kept."
        }
        Some(code) if code == Code::InvalidRequest.as_str() => {
            "Some of it would have lain more than 64 folders deep; nothing of it was kept."
        }
        _ => "It failed several times and was given up; the service's log says why.",
    }
}

fn why_it_was_cancelled(last_error: Option<&str>) -> &'static str {
    match last_error {
        Some("cancelled") => "Somebody has cancelled it; nothing of it was kept.",
        _ => "Another job has taken its place.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_kind_that_somebody_may_wait_for() {
        let (_, rest) = LIST.split_once("kind in (").unwrap();
        let mut listed: Vec<&str> =
            rest.split(')').next().unwrap().split(", ").map(|kind| kind.trim_matches('\'')).collect();
        let mut watched = JobKind::watched();
        listed.sort_unstable();
        watched.sort_unstable();
        assert_eq!(listed, watched);
    }
}
