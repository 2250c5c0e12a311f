//! Rate limits that tenants and keys have instead of their tier's: how they are shown, read and stored, and who sets them.
//!
//! The data plane keeps to them; here they are only written down.

use rowhouse_database::Columns;
use rowhouse_domain::RateLimit;
use rowhouse_problem::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use utoipa::ToSchema;

use crate::authentication::Caller;
use crate::input::Complaints;

/// A limit on requests to each process of the data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateLimitView {
    /// Requests a second in the long run; 0 sets no limit.
    #[schema(example = 50)]
    per_second: u32,
    /// Requests at once after a pause.
    #[schema(example = 200)]
    burst: u32,
}

impl RateLimitView {
    /// Keeps a limit that can be; notes a complaint about one that can't.
    pub(crate) fn take(self, complaints: &mut Complaints) -> Option<Self> {
        let Self { per_second, burst } = self;
        match (RateLimit { per_second, burst }).check() {
            Ok(()) => Some(self),
            Err((part, detail)) => complaints.take(&format!("/rate_limit/{part}"), Err::<Self, _>(detail)),
        }
    }

    /// The two columns, which are null together.
    pub(crate) fn columns(limit: Option<Self>) -> (Option<i32>, Option<i32>) {
        let column = |part: u32| i32::try_from(part).unwrap_or(i32::MAX);
        (limit.map(|limit| column(limit.per_second)), limit.map(|limit| column(limit.burst)))
    }

    /// What the two columns of a row say.
    pub(crate) fn from_row(row: &Row) -> Result<Option<Self>> {
        let parts: (Option<i32>, Option<i32>) = (row.column("rate_per_second")?, row.column("rate_burst")?);
        let (Some(per_second), Some(burst)) = parts else { return Ok(None) };
        let part = |part: i32| u32::try_from(part).map_err(Error::internal);
        Ok(Some(Self { per_second: part(per_second)?, burst: part(burst)? }))
    }
}

/// Limits come with the tier, which the platform sets: an organization would otherwise give itself what it does not pay for.
pub(crate) fn may_set(caller: &Caller, is_set: bool) -> Result<()> {
    if !is_set || caller.is_platform() {
        return Ok(());
    }
    Err(Error::new(Code::WrongKeyKind, "Only a platform key sets `rate_limit`. Leave it out."))
}
