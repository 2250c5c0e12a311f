//! What was read, and how far it can be relied on.

use std::sync::Arc;
use std::time::Duration;

use crate::era::Era;
use crate::marks::Held;
use crate::moment::Moment;

/// How long something read counts as just read where nobody would hear that it has changed.
const RECENT: Duration = Duration::from_secs(3);
/// A heartbeat older than this proves nothing: two were missed.
const SILENCE: Duration = Duration::from_secs(5);

/// How far something that was read can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is so.
    Right,
    /// It was so, last at this moment, and nobody knows whether it still is.
    Unsure(Moment),
    /// Something of it has changed.
    Wrong,
}

/// What is known of the moment and of the circumstances that something was read in.
pub struct Reading {
    pub(crate) era: Arc<Era>,
    pub(crate) at: Moment,
    pub(crate) marks: Held,
}

impl Reading {
    /// Whether notices of changes are heard still.
    pub fn is_followed(&self) -> bool {
        self.era.is_live()
    }

    /// When it was last known to be right; never, where something of it has changed.
    pub fn last_right(&self) -> Option<Moment> {
        (!self.marks.have_moved()).then(|| self.at.max(self.era.right_at()))
    }

    /// How far it can be relied on now.
    pub fn standing(&self, now: Moment) -> Standing {
        if self.marks.have_moved() {
            return Standing::Wrong;
        }
        let beat = self.era.right_at();
        let is_right = if self.era.is_live() {
            beat >= now.before(SILENCE)
        } else {
            // Where an era has ended, something may have been missed that was said before this was read.
            beat == Moment::NEVER && self.at >= now.before(RECENT)
        };
        if is_right { Standing::Right } else { Standing::Unsure(self.at.max(beat)) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::hearing::Hearing;

    #[test]
    fn what_was_read_in_a_live_era_is_right_until_a_mark_moves_or_the_era_ends() {
        let (hearing, start) = (Hearing::default(), Moment(0));
        let [tenant, cluster, other] = [1, 2, 3].map(Uuid::from_u128);
        let era = hearing.begin(start);
        let reading = || hearing.reading(&hearing.inquiry(start), [Some(tenant), Some(cluster), None, None]);
        let first = reading();
        let later = start.after(Duration::from_secs(3600));
        era.beat(later);
        assert_eq!(first.standing(later), Standing::Right);
        hearing.mark(other);
        assert_eq!(first.standing(later), Standing::Right);
        hearing.mark(tenant);
        assert_eq!(first.standing(later), Standing::Wrong);
        let second = reading();
        assert_eq!(second.standing(later), Standing::Right);
        // A heart that does not beat is not trusted for long, whatever the listener believes.
        let silent = later.after(Duration::from_secs(6));
        assert_eq!(second.standing(silent), Standing::Unsure(later));
        hearing.end();
        assert_eq!(second.standing(later), Standing::Unsure(later));
    }

    #[test]
    fn without_a_listener_what_was_read_is_right_for_a_moment_only() {
        let hearing = Hearing::default();
        let reading = hearing.reading(&hearing.inquiry(Moment(0)), [None; 4]);
        assert_eq!(reading.standing(Moment(2_900)), Standing::Right);
        assert_eq!(reading.standing(Moment(3_100)), Standing::Unsure(Moment(0)));
    }

    #[test]
    fn what_an_earlier_process_knew_is_unsure_however_young_it_is() {
        let reading = Hearing::default().reading(&crate::Inquiry::of_the_past(Moment(0)), [None; 4]);
        assert_eq!(reading.standing(Moment(1)), Standing::Unsure(Moment(0)));
        assert!(!reading.is_followed());
    }
}
