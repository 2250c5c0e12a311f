//! What of its usage a tenant asks for. Pure.

use jiff::{Timestamp, ToSpan};
use rowhouse_problem::{Error, Result};
use rowhouse_web::{Step, UsageFormat};
use serde::Deserialize;
use utoipa::IntoParams;

/// The period, where one is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// What was used over time, in steps of so long.
    #[param(inline)]
    bucket: Option<Step>,
    /// Where the period begins (RFC 3339; also `from`); 30 days before its end, unless given.
    #[serde(alias = "from")]
    since: Option<String>,
    /// Where it ends (also `to`); now, unless given.
    #[serde(alias = "to")]
    until: Option<String>,
    /// `csv` for a table; so does `Accept: text/csv`.
    #[param(inline)]
    pub(super) format: Option<UsageFormat>,
}

/// A period in steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period {
    pub(super) step: Step,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

impl UsageQuery {
    /// The period; none where only the figures of now are wanted.
    pub(super) fn period(&self, now: Timestamp, wants_table: bool) -> Result<Option<Period>> {
        let is_asked = wants_table || self.since.is_some() || self.until.is_some();
        let Some(step) = self.bucket.or(is_asked.then_some(Step::Day)) else { return Ok(None) };
        let until = time("until", self.until.as_deref())?.unwrap_or(now);
        let since = match time("since", self.since.as_deref())? {
            Some(since) => since,
            None => until.saturating_sub((30 * 24).hours()).map_err(Error::internal)?,
        };
        step.check(since, until)?;
        Ok(Some(Period { step, since, until }))
    }
}

fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    // What PostgreSQL can hold, and more than anybody was ever billed for.
    let known = |time: &Timestamp| (0..253_370_764_800).contains(&time.as_second());
    let read = |text: &str| {
        let time = text.parse::<Timestamp>().ok().filter(known);
        time.ok_or_else(|| Error::invalid_field(name, "must be a time as in RFC 3339"))
    };
    text.map(read).transpose()
}
