//! The listener's side, and what a reader takes from it.

use std::sync::{Arc, PoisonError};

use uuid::Uuid;

use crate::era::Era;
use crate::marks::{MOST, Marks};
use crate::moment::Moment;
use crate::reading::Reading;
use crate::sync::{AtomicU64, Ordering, RwLock};

/// What is heard of changes.
pub struct Hearing {
    /// Notices so far.
    heard: AtomicU64,
    era: RwLock<Arc<Era>>,
    marks: Marks,
}

/// What was heard when something was asked for.
pub struct Inquiry {
    heard: u64,
    era: Arc<Era>,
    at: Moment,
}

impl Default for Hearing {
    /// Nothing is heard yet.
    fn default() -> Self {
        Self { heard: AtomicU64::new(0), era: RwLock::new(Arc::new(Era::deaf())), marks: Marks::default() }
    }
}

impl Hearing {
    /// To be taken before something is asked for: what is heard from here on may be newer than the answer.
    pub fn inquiry(&self, now: Moment) -> Inquiry {
        let heard = self.heard.load(Ordering::Acquire);
        let era = Arc::clone(&self.era.read().unwrap_or_else(PoisonError::into_inner));
        Inquiry { heard, era, at: now }
    }

    /// What is to be kept with an answer that depends on these; and then the answer is to be forgotten again where the inquiry
    /// [was overtaken](Self::has_overtaken).
    pub fn reading(&self, inquiry: &Inquiry, ids: [Option<Uuid>; MOST]) -> Reading {
        Reading { era: Arc::clone(&inquiry.era), at: inquiry.at, marks: self.marks.hold(ids) }
    }

    /// Whether anything was heard since, which may have found nothing to mark yet.
    pub fn has_overtaken(&self, inquiry: &Inquiry) -> bool {
        self.heard.load(Ordering::Acquire) != inquiry.heard
    }

    /// A notice has come; to be said before anything is marked or forgotten because of it.
    pub fn hear(&self) {
        self.heard.fetch_add(1, Ordering::AcqRel);
    }

    /// What depends on this one is wrong.
    pub fn mark(&self, id: Uuid) {
        self.marks.move_on(id);
    }

    /// From `now` on everything is heard.
    pub fn begin(&self, now: Moment) -> Arc<Era> {
        let era = Arc::new(Era::since(now));
        *self.era.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&era);
        era
    }

    /// Something was missed, or may be from now on.
    pub fn end(&self) {
        let mut era = self.era.write().unwrap_or_else(PoisonError::into_inner);
        era.end();
        *era = Arc::new(Era::deaf());
    }

    /// Forgets what nothing depends on any more.
    pub fn tidy(&self) {
        self.marks.tidy();
    }
}

impl Inquiry {
    /// When the question was asked.
    pub fn at(&self) -> Moment {
        self.at
    }

    /// One of an earlier process, of which nothing was known to be wrong at that moment.
    pub fn of_the_past(at: Moment) -> Self {
        Self { heard: 0, era: Arc::new(Era::until(at)), at }
    }
}
