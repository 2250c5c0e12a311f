//! Databases that let nobody in, or not soon, while their cluster answers others.
//!
//! An attempt to open a connection to one takes as long as it may. Were nothing done, a handful of them would have all that may be
//! opened at once, and tenants that need a first connection would wait for databases that they have nothing to do with.

use std::time::{Duration, Instant};

use super::breaker::TOLERATED;
use super::{Connection, Ledger, PoolId};

/// How long it is remembered that a database did not answer.
pub(super) const DOUBTED_FOR: Duration = Duration::from_secs(30);

/// A database of which an attempt takes long, or came to nothing.
pub(super) struct Doubt {
    /// Attempts in a row to which it said nothing.
    silences: u32,
    /// When it was found so last.
    pub(super) since: Instant,
}

impl<C: Connection, W> Ledger<C, W> {
    /// Notes that an attempt takes long, or that so many said nothing; how many did in a row.
    pub(super) fn doubt(&mut self, pool: PoolId, now: Instant, silences: u32) -> u32 {
        let doubt = self.doubts.entry(pool).or_insert(Doubt { silences: 0, since: now });
        doubt.silences = doubt.silences.saturating_add(silences);
        doubt.since = now;
        doubt.silences
    }

    /// Whether a pool that stayed silent is tried on behalf of one caller: nobody else is to wait for what comes of it.
    pub(super) fn is_being_tried(&self, pool: PoolId) -> bool {
        let is_silent = self.doubts.get(&pool).is_some_and(|doubt| doubt.silences >= TOLERATED);
        is_silent
            && (self.line.first_of(pool).is_some()
                || self.pools.get(&pool).is_some_and(|pool| pool.opening > 0 && pool.idle.is_empty()))
    }

    /// Whether more may be opened at once: attempts that take long keep half of it at most from others.
    pub(super) fn has_room_to_open(&self) -> bool {
        let (most, doubtful) = (self.limits.opening, self.doubtful());
        self.opening < 2 * most && self.opening - doubtful + doubtful.min(most / 2) < most
    }

    /// Whether a pool may be tried once more as far as doubts go: one at a time, and a few of all that are in doubt.
    pub(super) fn may_be_tried(&self, pool: PoolId) -> bool {
        let is_opening = || self.pools.get(&pool).is_some_and(|pool| pool.opening > 0);
        !self.doubts.contains_key(&pool) || (!is_opening() && self.doubtful() < (self.limits.opening / 2).max(1))
    }

    /// Connections that are being opened to databases in doubt.
    fn doubtful(&self) -> usize {
        self.doubts.keys().filter_map(|id| self.pools.get(id)).map(|pool| pool.opening).sum()
    }
}
