//! What this process has leased for one tenant, or one of its accounts, and what of it is free. Pure.

use std::time::{Duration, Instant};

use rowhouse_domain::ReservationId;

/// How soon a block is asked for again after there was none.
const PAUSE: Duration = Duration::from_secs(2);
/// Signs of life in the time that a block lasts without one.
const SIGNS: u32 = 3;

/// How long blocks last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Without a sign of life.
    pub(super) ttl: Duration,
    /// Without an upload.
    pub(super) idle: Duration,
}

#[derive(Debug)]
struct Block {
    id: ReservationId,
    size: u64,
    free: u64,
    /// Uploads that hold something of it.
    holders: usize,
    renew_at: Instant,
    ends_at: Instant,
    /// Nothing more is taken of it: it is given back when nobody holds anything.
    is_retired: bool,
}

/// Something to do about blocks, outside of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// A block of at least so many bytes is wanted.
    Lease(u64),
    /// A block is to last for longer.
    Renew(ReservationId),
    /// A block is not needed any more; it is forgotten already.
    Close(ReservationId),
}

/// Blocks.
#[derive(Debug)]
pub(super) struct Purse {
    blocks: Vec<Block>,
    /// The size of an upload that found no room, or less where it is only that little is left.
    wanted: Option<u64>,
    is_leasing: bool,
    not_before: Instant,
    used_at: Instant,
}

impl Purse {
    /// One without a block.
    pub(super) fn new(now: Instant) -> Self {
        Self { blocks: Vec::new(), wanted: None, is_leasing: false, not_before: now, used_at: now }
    }

    /// Takes so much of a block where it is free, and notes where a further one is needed.
    pub(super) fn take(&mut self, bytes: u64, now: Instant) -> Option<ReservationId> {
        self.used_at = now;
        let block =
            self.blocks.iter_mut().find(|block| !block.is_retired && block.ends_at > now && block.free >= bytes);
        let Some(block) = block else {
            self.wanted = Some(bytes.max(self.wanted.unwrap_or(0)));
            return None;
        };
        block.free -= bytes;
        block.holders += 1;
        let id = block.id;
        if self.blocks.iter().filter(|block| !block.is_retired).all(|block| block.free < block.size / 4) {
            self.wanted = self.wanted.or(Some(bytes));
        }
        Some(id)
    }

    /// Takes more of a block for an upload that holds something of it.
    pub(super) fn take_more(&mut self, id: ReservationId, bytes: u64) -> bool {
        match self.find(id) {
            Some(block) if block.free >= bytes => {
                block.free -= bytes;
                true
            }
            _ => false,
        }
    }

    /// An upload ends, and so many bytes of what it held were not spent.
    pub(super) fn put_back(&mut self, id: ReservationId, unspent: u64) {
        // Gone where it ended meanwhile.
        if let Some(block) = self.find(id) {
            block.free += unspent;
            block.holders -= 1;
        }
    }

    /// A block that was leased.
    pub(super) fn add(&mut self, id: ReservationId, size: u64, terms: Terms, now: Instant) {
        // What is left of earlier ones is too little for uploads of this size.
        for block in &mut self.blocks {
            block.is_retired = true;
        }
        let (renew_at, ends_at) = (now + terms.ttl / SIGNS, now + terms.ttl);
        self.blocks.push(Block { id, size, free: size, holders: 0, renew_at, ends_at, is_retired: false });
    }

    /// The lease that was asked for came to its end, whatever it was.
    pub(super) fn leased(&mut self, has_come: bool, now: Instant) {
        self.is_leasing = false;
        self.wanted = None;
        if !has_come {
            self.not_before = now + PAUSE;
        }
    }

    /// A block lasts from `since` on.
    pub(super) fn renewed(&mut self, id: ReservationId, terms: Terms, since: Instant) {
        if let Some(block) = self.find(id) {
            block.renew_at = since + terms.ttl / SIGNS;
            block.ends_at = since + terms.ttl;
        }
    }

    /// A block is somebody else's to clear up.
    pub(super) fn forget(&mut self, id: ReservationId) {
        self.blocks.retain(|block| block.id != id);
    }

    /// Takes everything that is free out of the blocks, so that it can be given back.
    pub(super) fn empty(&mut self) -> Vec<(ReservationId, u64)> {
        self.wanted = None;
        let free = self.blocks.iter_mut().filter(|block| block.free > 0).map(|block| {
            block.is_retired = true;
            (block.id, std::mem::take(&mut block.free))
        });
        free.collect()
    }

    /// Nothing more is taken of any block.
    pub(super) fn retire(&mut self) {
        self.wanted = None;
        for block in &mut self.blocks {
            block.is_retired = true;
        }
    }

    /// What is to be done now.
    pub(super) fn errands(&mut self, terms: Terms, now: Instant) -> Vec<Errand> {
        let is_idle = now >= self.used_at + terms.idle;
        let mut errands = Vec::new();
        self.blocks.retain_mut(|block| {
            block.is_retired |= is_idle || now >= block.ends_at;
            if block.is_retired && block.holders == 0 {
                errands.push(Errand::Close(block.id));
                return false;
            }
            if now >= block.renew_at {
                // Tried again in a while, however it goes.
                block.renew_at = now + terms.ttl / SIGNS / 2;
                errands.push(Errand::Renew(block.id));
            }
            true
        });
        if let Some(least) = self.wanted
            && !self.is_leasing
            && !is_idle
            && now >= self.not_before
        {
            self.is_leasing = true;
            errands.push(Errand::Lease(least));
        }
        errands
    }

    /// Whether somebody is to be woken for a lease.
    pub(super) fn is_wanting(&self, now: Instant) -> bool {
        self.wanted.is_some() && !self.is_leasing && now >= self.not_before
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_over(&self, terms: Terms, now: Instant) -> bool {
        self.blocks.is_empty() && !self.is_leasing && now >= self.used_at + terms.idle
    }

    fn find(&mut self, id: ReservationId) -> Option<&mut Block> {
        self.blocks.iter_mut().find(|block| block.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { ttl: Duration::from_secs(60), idle: Duration::from_secs(300) };

    #[test]
    fn a_block_is_asked_for_once_and_spent_to_the_byte() {
        let (now, id) = (Instant::now(), ReservationId::new());
        let mut purse = Purse::new(now);
        assert_eq!(purse.take(30, now), None);
        assert_eq!(purse.errands(TERMS, now), [Errand::Lease(30)]);
        assert_eq!(purse.errands(TERMS, now), [], "it is under way");
        purse.add(id, 100, TERMS, now);
        purse.leased(true, now);
        assert_eq!(purse.take(60, now), Some(id));
        assert!(purse.take_more(id, 10) && !purse.take_more(id, 31));
        assert_eq!(purse.take(31, now), None);
        assert_eq!(purse.take(30, now), Some(id));
        assert_eq!(purse.take(1, now), None, "nothing is left");
        purse.put_back(id, 70);
        assert_eq!(purse.take(70, now), Some(id), "what was not spent is free again");
    }

    #[test]
    fn what_is_held_outlives_what_is_retired() {
        let (now, id) = (Instant::now(), ReservationId::new());
        let mut purse = Purse::new(now);
        purse.add(id, 100, TERMS, now);
        assert_eq!(purse.take(40, now), Some(id));
        assert_eq!(purse.empty(), [(id, 60)]);
        assert_eq!(purse.take(1, now), None);
        purse.leased(false, now);
        assert_eq!(purse.errands(TERMS, now), [], "somebody holds something of it");
        purse.put_back(id, 40);
        assert_eq!(purse.empty(), [(id, 40)]);
        assert_eq!(purse.errands(TERMS, now), [Errand::Close(id)]);
        assert_eq!(purse.errands(TERMS, now), []);
    }

    #[test]
    fn a_block_is_renewed_while_it_is_used_and_closed_when_it_is_not() {
        let (now, id) = (Instant::now(), ReservationId::new());
        let mut purse = Purse::new(now);
        purse.add(id, 100, TERMS, now);
        let later = now + TERMS.ttl / 2;
        assert_eq!(purse.errands(TERMS, later), [Errand::Renew(id)]);
        assert_eq!(purse.errands(TERMS, later), [], "one sign at a time");
        purse.renewed(id, TERMS, later);
        assert_eq!(purse.take(1, later + TERMS.ttl / 2), Some(id));
        purse.put_back(id, 1);
        assert_eq!(purse.take(1, later + TERMS.ttl), None, "nobody has heard of it for too long");
        assert_eq!(purse.errands(TERMS, later + TERMS.ttl), [Errand::Close(id), Errand::Lease(1)]);
        assert!(!purse.is_over(TERMS, later + TERMS.ttl));
        purse.leased(false, later + TERMS.ttl);
        assert!(purse.is_over(TERMS, later + TERMS.ttl + TERMS.idle));
    }

    #[test]
    fn after_a_refusal_there_is_a_pause() {
        let now = Instant::now();
        let mut purse = Purse::new(now);
        assert_eq!(purse.take(1, now), None);
        assert_eq!(purse.errands(TERMS, now).len(), 1);
        purse.leased(false, now);
        assert_eq!(purse.take(1, now), None);
        assert_eq!(purse.errands(TERMS, now), []);
        assert_eq!(purse.errands(TERMS, now + PAUSE), [Errand::Lease(1)]);
    }
}
