//! Room that this process has leased in blocks and gives to uploads without asking anybody: they need not queue at the
//! organization's row, and go on for a while without `saas_platform` ([ADR 15](../../../../docs/adr/0015-quota-is-leased-in-blocks.md)).
//!
//! A block is a reservation in `saas_platform`, so what is leased is never anybody else's, and a row in the tenant's own data.
//! A transaction that spends of the block shares the lock of that row and queues the usage event that takes its bytes out of the
//! reservation. Whoever ends a block closes the row first, which waits for those transactions and refuses all later ones, and gives
//! the rest back when the last of the events has been counted. So it stays exact whoever dies, and whatever clocks say.

mod errands;
mod purse;
mod store;
mod sweep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rowhouse_domain::{AccountId, OrganizationId, ReservationId, TenantId};
use rowhouse_settings as settings;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::authentication::Caller;
use purse::{Purse, Terms};

pub(crate) use store::share;
pub(crate) use sweep::{next_end, sweep};

/// Who spends of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Owner {
    tenant: TenantId,
    account: Option<AccountId>,
}

impl Owner {
    fn of(caller: &Caller) -> Self {
        Self { tenant: caller.tenant(), account: caller.account() }
    }
}

struct Entry {
    purse: Purse,
    organization: OrganizationId,
    /// The last one that came: the way to the tenant's data.
    caller: Caller,
}

/// The blocks of this process. Cheap to clone.
#[derive(Clone)]
pub struct Blocks(Arc<Inner>);

struct Inner {
    /// None at all where this is nothing.
    largest: u64,
    terms: Terms,
    purses: Mutex<Option<HashMap<Owner, Entry>>>,
    /// A block is wanted.
    wanted: Notify,
    /// What is being leased, renewed or closed.
    errands: TaskTracker,
}

impl Blocks {
    /// None yet.
    pub fn new(settings: &settings::Quota) -> Self {
        Self(Arc::new(Inner {
            largest: settings.largest_block,
            terms: Terms { ttl: settings.block_ttl, idle: settings.block_idle },
            purses: Mutex::new(Some(HashMap::new())),
            wanted: Notify::new(),
            errands: TaskTracker::new(),
        }))
    }

    /// Takes room out of a block, where there is one with so much free.
    pub(crate) fn take(&self, caller: &Caller, bytes: u64) -> Option<Held> {
        if bytes > self.0.largest || self.0.largest == 0 {
            return None;
        }
        let owner = Owner::of(caller);
        let (taken, is_wanting) = {
            let mut purses = self.purses();
            // Nothing is given any more at the end of the process.
            let entry = purses.as_mut()?.entry(owner).or_insert_with(|| Entry {
                purse: Purse::new(Instant::now()),
                organization: caller.organization(),
                caller: caller.clone(),
            });
            entry.caller = caller.clone();
            let now = Instant::now();
            (entry.purse.take(bytes, now), entry.purse.is_wanting(now))
        };
        if is_wanting {
            self.0.wanted.notify_one();
        }
        taken.map(|block| Held { blocks: self.clone(), owner, block, bytes })
    }

    /// A few map operations at a time, never across an await.
    fn purses(&self) -> MutexGuard<'_, Option<HashMap<Owner, Entry>>> {
        self.0.purses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, owner: Owner, act: impl FnOnce(&mut Purse) -> T) -> Option<T> {
        self.purses().as_mut()?.get_mut(&owner).map(|entry| act(&mut entry.purse))
    }
}

/// Room in a block that an upload holds; free again when this is dropped, unless it was spent.
pub(crate) struct Held {
    blocks: Blocks,
    owner: Owner,
    block: ReservationId,
    bytes: u64,
}

impl Held {
    /// The block, which the upload's bytes are to be charged to.
    pub(crate) fn block(&self) -> ReservationId {
        self.block
    }

    /// How much it is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes so many bytes more of the same block, where it has them.
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        let grown = self.blocks.with(self.owner, |purse| purse.take_more(self.block, bytes)).unwrap_or(false);
        if grown {
            self.bytes += bytes;
        }
        grown
    }

    /// Somebody took this process for dead and has closed the block: nobody else is to try.
    pub(crate) fn forget_block(&self) {
        self.blocks.with(self.owner, |purse| purse.forget(self.block));
    }

    /// It is about to be permanent: whatever comes of it, it is not given to anybody else. Says how much it was.
    pub(crate) fn spend(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }

    /// What was spent is known not to be: it is held again.
    pub(crate) fn unspend(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.blocks.with(self.owner, |purse| purse.put_back(self.block, self.bytes));
    }
}
