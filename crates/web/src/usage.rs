//! Usage over time, as both services show it: a period in steps of an hour, a day or a month, as JSON or as CSV.

use actix_web::HttpRequest;
use actix_web::http::header;
use jiff::ToSpan;
use rowhouse_problem::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::timestamp::Timestamp;

/// Most steps of one answer.
const MOST_STEPS: i64 = 1_000;

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// From one full hour to the next, in UTC.
    Hour,
    /// A day in UTC.
    Day,
    /// A month of the calendar in UTC.
    Month,
}

impl Step {
    /// As PostgreSQL's `date_trunc` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    const fn shortest_in_seconds(self) -> i64 {
        match self {
            Self::Hour => 3_600,
            Self::Day => 24 * 3_600,
            Self::Month => 28 * 24 * 3_600,
        }
    }

    /// Refuses a period that has more steps than one answer holds.
    ///
    /// # Errors
    /// Invalid, with the parameter that is.
    pub fn check(self, since: jiff::Timestamp, until: jiff::Timestamp) -> Result<()> {
        let steps = until.duration_since(since).as_secs() / self.shortest_in_seconds();
        if steps <= MOST_STEPS {
            return Ok(());
        }
        let step = self.as_str();
        Err(Error::invalid_field("bucket", format!("the period has more than {MOST_STEPS} buckets of one {step}")))
    }
}

/// What usage is asked for.
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
    /// Where it ends (RFC 3339; also `to`); now, unless given.
    #[serde(alias = "to")]
    until: Option<String>,
    /// `csv` for a table of the buckets alone; so does `Accept: text/csv`.
    #[param(inline)]
    format: Option<UsageFormat>,
}

impl UsageQuery {
    /// Whether the answer is to be a table.
    pub fn wants_table(&self, request: &HttpRequest) -> bool {
        let accepted = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        self.format.map_or_else(|| accepted.contains("text/csv"), |format| format == UsageFormat::Csv)
    }

    /// Whether a period is asked for, in steps or not.
    pub fn names_a_period(&self) -> bool {
        self.bucket.is_some() || self.since.is_some() || self.until.is_some()
    }

    /// The length of a step, where one is given.
    pub fn step(&self) -> Option<Step> {
        self.bucket
    }

    /// The period's beginning and its end, which is not in it.
    ///
    /// # Errors
    /// Invalid, with the parameter that is.
    pub fn period(&self, now: jiff::Timestamp) -> Result<(jiff::Timestamp, jiff::Timestamp)> {
        let until = time("until", self.until.as_deref())?.unwrap_or(now);
        let since = match time("since", self.since.as_deref())? {
            Some(since) => since,
            None => until.saturating_sub((30 * 24).hours()).map_err(Error::internal)?,
        };
        if since < until { Ok((since, until)) } else { Err(Error::invalid_field("since", "must be before `until`")) }
    }
}

fn time(name: &str, text: Option<&str>) -> Result<Option<jiff::Timestamp>> {
    // What PostgreSQL can hold, and more than anybody was ever billed for.
    let known = |time: &jiff::Timestamp| (0..253_370_764_800).contains(&time.as_second());
    let read = |text: &str| {
        let time = text.parse::<jiff::Timestamp>().ok().filter(known);
        time.ok_or_else(|| Error::invalid_field(name, "must be a time as in RFC 3339"))
    };
    text.map(read).transpose()
}

/// How usage is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageFormat {
    /// The usual way.
    Json,
    /// A table, one bucket a line.
    Csv,
}

/// What was used in one step, of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageBucket {
    /// Where the step begins.
    pub begins: Timestamp,
    /// `storage`, `api`, `bandwidth_in`, `bandwidth_out` or `workspaces`.
    pub event_type: String,
    /// `bytes`, `requests` or `workspaces`.
    pub unit: String,
    /// The sum. Of storage and workspaces: what came minus what went.
    pub quantity: i64,
    /// Of so many events.
    pub events: i64,
}

impl UsageBucket {
    /// Buckets as CSV (RFC 4180), with a line of names.
    ///
    /// # Errors
    /// Internal: a table in memory always has room.
    pub fn csv(buckets: &[Self]) -> Result<Vec<u8>> {
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(["begins", "event_type", "unit", "quantity", "events"]).map_err(Error::internal)?;
        for bucket in buckets {
            let (begins, quantity, events) =
                (bucket.begins.0.to_string(), bucket.quantity.to_string(), bucket.events.to_string());
            let line = [begins.as_str(), &bucket.event_type, &bucket.unit, &quantity, &events];
            table.write_record(line).map_err(Error::internal)?;
        }
        table.into_inner().map_err(|error| Error::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_names_and_a_line_for_each() {
        let bucket = UsageBucket {
            begins: jiff::Timestamp::UNIX_EPOCH.into(),
            event_type: "api".to_owned(),
            unit: "requests".to_owned(),
            quantity: -3,
            events: 2,
        };
        let table = String::from_utf8(UsageBucket::csv(&[bucket]).unwrap()).unwrap();
        assert_eq!(table, "begins,event_type,unit,quantity,events\n1970-01-01T00:00:00Z,api,requests,-3,2\n");
    }

    #[test]
    fn a_period_has_not_too_many_steps() {
        let at = |seconds| jiff::Timestamp::from_second(seconds).unwrap();
        assert!(Step::Hour.check(at(0), at(1_000 * 3_600)).is_ok());
        assert!(Step::Hour.check(at(0), at(1_001 * 3_600)).is_err());
        assert!(Step::Day.check(at(0), at(1_001 * 3_600)).is_ok());
    }
}
