//! What has changed, counted.

use uuid::Uuid;

use crate::sync::{Counter, Counters, Ordering};

/// How many things a reading may depend on.
pub(crate) const MOST: usize = 4;

/// Counts changes of things, as far as anything is remembered of them.
#[derive(Default)]
pub(crate) struct Marks(Counters);

/// The counters that something depends on, and where they stood.
#[derive(Default)]
pub(crate) struct Held {
    counters: [Option<Counter>; MOST],
    sum: u64,
}

impl Marks {
    /// The counters of these as they stand.
    pub(crate) fn hold(&self, ids: [Option<Uuid>; MOST]) -> Held {
        let counters = ids.map(|id| id.map(|id| self.0.get_or_make(id)));
        let sum = sum(&counters);
        Held { counters, sum }
    }

    /// Notes that something of it has changed.
    pub(crate) fn move_on(&self, id: Uuid) {
        if let Some(counter) = self.0.get(id) {
            counter.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Forgets counters that nothing depends on any more.
    pub(crate) fn tidy(&self) {
        self.0.drop_unheld();
    }
}

impl Held {
    pub(crate) fn have_moved(&self) -> bool {
        // They only ever grow.
        sum(&self.counters) != self.sum
    }
}

fn sum(counters: &[Option<Counter>; MOST]) -> u64 {
    counters.iter().flatten().map(|counter| counter.load(Ordering::Acquire)).sum()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counters_go_with_what_depends_on_them() {
        let marks = Marks::default();
        let held = marks.hold([Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2)), None, None]);
        marks.tidy();
        assert_eq!(marks.0.len(), 2);
        drop(held);
        marks.tidy();
        assert_eq!(marks.0.len(), 0);
    }
}
