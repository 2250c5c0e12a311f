//! Usage over time, as both services show it: a period in steps of an hour, a day or a month, as JSON or as CSV.

use rowhouse_problem::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

    /// Refuses a period that ends before it begins, or has more steps than one answer holds.
    ///
    /// # Errors
    /// Invalid, with the parameter that is.
    pub fn check(self, since: jiff::Timestamp, until: jiff::Timestamp) -> Result<()> {
        if since >= until {
            return Err(Error::invalid_field("since", "must be before `until`"));
        }
        let steps = until.duration_since(since).as_secs() / self.shortest_in_seconds();
        if steps <= MOST_STEPS {
            return Ok(());
        }
        let step = self.as_str();
        Err(Error::invalid_field("bucket", format!("the period has more than {MOST_STEPS} buckets of one {step}")))
    }
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
    fn a_period_has_a_beginning_an_end_and_not_too_many_steps() {
        let at = |seconds| jiff::Timestamp::from_second(seconds).unwrap();
        assert!(Step::Hour.check(at(0), at(1_000 * 3_600)).is_ok());
        assert!(Step::Hour.check(at(0), at(1_001 * 3_600)).is_err());
        assert!(Step::Day.check(at(0), at(1_001 * 3_600)).is_ok());
        assert!(Step::Month.check(at(5), at(5)).is_err());
    }
}
