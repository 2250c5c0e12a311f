//! How far what was read can still be taken for what is so.
//!
//! While a listener hears every notice, whatever was read since is right until a notice says otherwise: that is an [`Era`].
//! When it ends, because the connection broke or a number was missing, nothing read in it is known to be wrong, and all of
//! it is to be read again before use; its last heartbeat is when it was last known to be right.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use uuid::Uuid;

/// How long something read counts as just read where nobody would hear that it has changed.
const RECENT: Duration = Duration::from_secs(3);
/// A heartbeat older than this proves nothing: two were missed.
const SILENCE: Duration = Duration::from_secs(5);

/// Before everything.
const NEVER: Moment = Moment(i64::MIN);

/// A point in time of this process, in milliseconds; before its start for what an earlier one knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) i64);

impl Moment {
    /// This moment.
    pub(super) fn now() -> Self {
        static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
        Self(milliseconds(BEGUN.elapsed()))
    }

    /// The moment that this one is so much later than.
    pub(super) fn before(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(milliseconds(wait)))
    }

    /// The moment so much later.
    pub(super) fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(milliseconds(wait)))
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A time during which every notice is heard.
pub(super) struct Era {
    is_live: AtomicBool,
    /// When nothing had been missed, last.
    right_at: AtomicI64,
}

impl Era {
    /// One in which no notice is heard.
    pub(super) fn deaf() -> Self {
        Self { is_live: AtomicBool::new(false), right_at: AtomicI64::new(NEVER.0) }
    }

    /// One in which every notice from `now` on is heard.
    pub(super) fn since(now: Moment) -> Self {
        Self { is_live: AtomicBool::new(true), right_at: AtomicI64::new(now.0) }
    }

    /// Nothing had been missed at this moment.
    pub(super) fn beat(&self, now: Moment) {
        self.right_at.store(now.0, Ordering::Release);
    }

    /// From now on something may be missed.
    pub(super) fn end(&self) {
        self.is_live.store(false, Ordering::Release);
    }

    /// Whether notices are heard.
    pub(super) fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Acquire)
    }
}

/// How far something that was read can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is so.
    Right,
    /// It was so, last at this moment, and nobody knows whether it still is.
    Unsure(Moment),
    /// Something of it has changed.
    Wrong,
}

/// What is known of the moment and of the circumstances that something was read in.
pub(super) struct Reading {
    pub(super) era: Arc<Era>,
    pub(super) at: Moment,
    pub(super) marks: Held,
}

impl Reading {
    /// When it was last known to be right; never, where something of it has changed.
    pub(super) fn last_right(&self) -> Option<Moment> {
        let beat = Moment(self.era.right_at.load(Ordering::Acquire));
        (!self.marks.have_moved()).then(|| self.at.max(beat))
    }

    /// How far it can be relied on now.
    pub(super) fn standing(&self, now: Moment) -> Standing {
        if self.marks.have_moved() {
            return Standing::Wrong;
        }
        let beat = Moment(self.era.right_at.load(Ordering::Acquire));
        let is_right = if self.era.is_live() {
            beat >= now.before(SILENCE)
        } else {
            // Where an era has ended, something may have been missed that was said before this was read.
            beat == NEVER && self.at >= now.before(RECENT)
        };
        if is_right { Standing::Right } else { Standing::Unsure(self.at.max(beat)) }
    }
}

/// Counts changes of tenants, organizations, clusters and shared databases, as far as anything is remembered of them.
#[derive(Default)]
pub(super) struct Marks(DashMap<Uuid, Arc<AtomicU64>>);

/// The counters that something depends on, and where they stood.
#[derive(Default)]
pub(super) struct Held {
    counters: [Option<Arc<AtomicU64>>; 4],
    sum: u64,
}

impl Marks {
    /// The counters of these as they stand.
    pub(super) fn hold(&self, ids: [Option<Uuid>; 4]) -> Held {
        let counters = ids.map(|id| id.map(|id| Arc::clone(self.0.entry(id).or_default().value())));
        let sum = sum(&counters);
        Held { counters, sum }
    }

    /// Notes that something of it has changed.
    pub(super) fn move_on(&self, id: Uuid) {
        if let Some(counter) = self.0.get(&id) {
            counter.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Forgets counters that nothing depends on any more.
    pub(super) fn tidy(&self) {
        // Under the map's lock, so that nobody takes hold of one meanwhile.
        self.0.retain(|_, counter| Arc::strong_count(counter) > 1);
    }
}

impl Held {
    fn have_moved(&self) -> bool {
        // They only ever grow.
        sum(&self.counters) != self.sum
    }
}

fn sum(counters: &[Option<Arc<AtomicU64>>; 4]) -> u64 {
    counters.iter().flatten().map(|counter| counter.load(Ordering::Acquire)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_in_a_live_era_is_right_until_a_mark_moves_or_the_era_ends() {
        let (marks, start) = (Marks::default(), Moment(0));
        let (tenant, other) = (Uuid::now_v7(), Uuid::now_v7());
        let era = Arc::new(Era::since(start));
        let reading = |marks: &Marks| Reading {
            era: Arc::clone(&era),
            at: start,
            marks: marks.hold([Some(tenant), Some(Uuid::now_v7()), None, None]),
        };
        let first = reading(&marks);
        let later = start.after(Duration::from_secs(3600));
        era.beat(later);
        assert_eq!(first.standing(later), Standing::Right);
        marks.move_on(other);
        assert_eq!(first.standing(later), Standing::Right);
        marks.move_on(tenant);
        assert_eq!(first.standing(later), Standing::Wrong);
        let second = reading(&marks);
        assert_eq!(second.standing(later), Standing::Right);
        // A heart that does not beat is not trusted for long, whatever the listener believes.
        let silent = later.after(Duration::from_secs(6));
        assert_eq!(second.standing(silent), Standing::Unsure(later));
        era.end();
        assert_eq!(second.standing(later), Standing::Unsure(later));
    }

    #[test]
    fn without_a_listener_what_was_read_is_right_for_a_moment_only() {
        let reading = Reading { era: Arc::new(Era::deaf()), at: Moment(0), marks: Held::default() };
        assert_eq!(reading.standing(Moment(2_900)), Standing::Right);
        assert_eq!(reading.standing(Moment(3_100)), Standing::Unsure(Moment(0)));
    }

    #[test]
    fn counters_go_with_what_depends_on_them() {
        let marks = Marks::default();
        let held = marks.hold([Some(Uuid::now_v7()), Some(Uuid::now_v7()), None, None]);
        marks.tidy();
        assert_eq!(marks.0.len(), 2);
        drop(held);
        marks.tidy();
        assert_eq!(marks.0.len(), 0);
    }
}
