//! What may be asked of the list of long jobs.

use jiff::Timestamp;
use rowhouse_domain::JobId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::PageQuery;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// How far a job is.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for a worker, perhaps after a failure.
    Queued,
    /// A worker is at it.
    Running,
    /// It has done all of it.
    Done,
    /// It was given up.
    Failed,
    /// Somebody has cancelled it, or another job has taken its place.
    Cancelled,
}

impl JobState {
    /// The text in the database.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which jobs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListJobs {
    /// Only those that are this far.
    #[param(inline)]
    pub(super) state: Option<JobState>,
    /// Most items to answer with, 1 to 200 (default 50).
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl ListJobs {
    /// How many are wanted, and where the page begins: the time and the id of the last job of the page before.
    pub(super) fn page(&self) -> Result<(i64, (Timestamp, Uuid))> {
        let page = PageQuery { limit: self.limit, cursor: self.cursor.clone() };
        let after = match page.after::<(Timestamp, JobId)>()? {
            Some((time, id)) if time >= Timestamp::UNIX_EPOCH => (time, id.as_uuid()),
            // The database knows no times as early as some that can be written.
            Some(_) => return Err(Error::new(Code::MalformedCursor, "No job is as old as this cursor says.")),
            // The newest come first: before the end of all time.
            None => (Timestamp::MAX, Uuid::max()),
        };
        Ok((page.limit()?, after))
    }
}
