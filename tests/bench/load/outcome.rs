//! What a run found.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::{count, median};

/// Latencies up to this are told apart; what took longer counts as this.
const LONGEST: Duration = Duration::from_secs(120);

/// Counts and latencies of the measured part of a run.
pub(crate) struct Outcome {
    /// Nanoseconds from the planned time to the whole answer.
    latencies: Histogram<u64>,
    /// The same of the targets that are counted apart, by their group.
    apart: Vec<Histogram<u64>>,
    /// Answers by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Answers that were another file's.
    pub(crate) wrong: u64,
    /// Requests whose connection broke, or that were never answered or sent.
    pub(crate) lost: u64,
    /// Why the first one was lost.
    pub(crate) first_loss: Option<String>,
    pub(crate) seconds: f64,
}

impl Outcome {
    pub(super) fn new(groups: usize) -> Result<Self> {
        let histogram = || Histogram::new_with_bounds(1_000, nanoseconds(LONGEST), 3);
        Ok(Self {
            latencies: histogram()?,
            apart: (0..groups).map(|_| histogram()).collect::<Result<_, _>>()?,
            statuses: BTreeMap::new(),
            wrong: 0,
            lost: 0,
            first_loss: None,
            seconds: 0.0,
        })
    }

    pub(super) fn answered(&mut self, status: u16, is_right: bool, group: Option<usize>, latency: Duration) {
        self.latencies.saturating_record(nanoseconds(latency));
        if let Some(apart) = group.and_then(|group| self.apart.get_mut(group)) {
            apart.saturating_record(nanoseconds(latency));
        }
        *self.statuses.entry(status).or_default() += 1;
        self.wrong += u64::from(!is_right);
    }

    pub(super) fn lost(&mut self, count: u64, why: &dyn Display) {
        self.lost += count;
        self.first_loss.get_or_insert_with(|| why.to_string());
    }

    pub(crate) fn answers(&self) -> u64 {
        self.latencies.len()
    }

    /// Answers a second, whatever they say.
    pub(crate) fn rate(&self) -> f64 {
        count(self.answers()) / self.seconds
    }

    /// Requests that did not get the answer they should.
    pub(crate) fn errors(&self) -> u64 {
        let refused: u64 = self.statuses.iter().filter(|(status, _)| **status != 200).map(|(_, count)| count).sum();
        refused + self.wrong + self.lost
    }

    /// Milliseconds that the share of requests, of a hundred, took at most.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        milliseconds(&self.latencies, share)
    }

    /// The same of the targets of a group.
    pub(crate) fn percentile_of(&self, group: usize, share: f64) -> f64 {
        milliseconds(&self.apart[group], share)
    }

    /// The same of all that are in any group.
    pub(crate) fn percentile_apart(&self, share: f64) -> f64 {
        let Some((first, others)) = self.apart.split_first() else { return 0.0 };
        let mut all = first.clone();
        others.iter().for_each(|other| all += other);
        milliseconds(&all, share)
    }
}

/// The median of what rounds say of a share of their requests, in milliseconds.
pub(crate) fn percentile_of_rounds(rounds: &[Outcome], share: f64) -> f64 {
    median(rounds.iter().map(|outcome| outcome.percentile(share)).collect())
}

fn milliseconds(latencies: &Histogram<u64>, share: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "two minutes in nanoseconds")]
    let nanoseconds = latencies.value_at_percentile(share) as f64;
    nanoseconds / 1e6
}

impl Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, p999, most] = [50.0, 90.0, 99.0, 99.9, 100.0].map(|share| self.percentile(share));
        write!(
            formatter,
            "{:.0}/s, ms: p50 {p50:.2} p90 {p90:.2} p99 {p99:.2} p99.9 {p999:.2} max {most:.2}, answers {:?}",
            self.rate(),
            self.statuses
        )?;
        if self.wrong + self.lost > 0 {
            write!(formatter, ", wrong {}, lost {}", self.wrong, self.lost)?;
        }
        self.first_loss.as_ref().map_or(Ok(()), |why| write!(formatter, " ({why})"))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
