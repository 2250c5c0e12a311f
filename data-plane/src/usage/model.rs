//! What of its usage a tenant asks for. Pure.

use jiff::Timestamp;
use rowhouse_problem::Result;
use rowhouse_web::{Step, UsageQuery};

/// A period in steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period {
    pub(super) step: Step,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

impl Period {
    /// None where only the figures of now are wanted.
    pub(super) fn asked_for(query: &UsageQuery, now: Timestamp, wants_table: bool) -> Result<Option<Self>> {
        if !wants_table && !query.names_a_period() {
            return Ok(None);
        }
        let (since, until) = query.period(now)?;
        let step = query.step().unwrap_or(Step::Day);
        step.check(since, until)?;
        Ok(Some(Self { step, since, until }))
    }
}
