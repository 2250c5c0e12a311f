//! The room that an upload holds while it comes in: in a block that this process has leased, or by a reservation of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rowhouse_database::{PlatformPool, Sql};
use rowhouse_domain::ReservationId;
use rowhouse_problem::{Code, Error, Result};
use uuid::Uuid;

use super::intents;
use super::pulse::ran_out;
use crate::authentication::Caller;
use crate::changes::Change;
use crate::quota::{self, blocks::Held};
use crate::state::AppState;

/// What a body of unknown length reserves at a time.
const BLOCK: u64 = 8 * 1024 * 1024;

/// A reservation that grows with its upload. Its end is the upload's business, not its own.
pub(super) struct Reservation {
    state: AppState,
    caller: Caller,
    id: ReservationId,
    room: Mutex<Room>,
}

enum Room {
    /// Under its own id. Only ever grows; what was given back meanwhile is made up to it again.
    Own {
        held: u64,
    },
    InBlock(Held),
    /// Given back for good: a sign of life that comes late must not take it again.
    Over,
}

impl Reservation {
    /// Of nothing yet.
    pub(super) fn new(state: AppState, caller: Caller, id: ReservationId) -> Self {
        Self { state, caller, id, room: Mutex::new(Room::Own { held: 0 }) }
    }

    /// Has room for a body of this length, or for the beginning of one whose length nobody knows. Marks the tenant as having
    /// work, too: a block's tenant is marked as long as there is the block.
    pub(super) async fn open(&self, length: Option<u64>) -> Result<()> {
        if let Some(length) = length
            && self.take_of_block(length)
        {
            return Ok(());
        }
        match self.grow(length.unwrap_or(0)).await {
            // What has no length is not worth a block's room while everybody can ask.
            Err(error) if error.code() == Code::QuotaUnavailable && length.is_none() && self.take_of_block(0) => Ok(()),
            result => result,
        }
    }

    /// Has room for so many workspaces: never in a block, which is of bytes.
    pub(super) async fn open_workspaces(&self, count: i32) -> Result<()> {
        let ttl = self.state.settings.uploads.reservation_ttl;
        quota::reserve_workspaces(&self.state.platform, self.id, self.caller.tenant(), count, ttl).await
    }

    fn take_of_block(&self, bytes: u64) -> bool {
        let held = self.state.blocks.take(&self.caller, bytes);
        let is_taken = held.is_some();
        if let Some(held) = held {
            *self.room() = Room::InBlock(held);
        }
        is_taken
    }

    /// Has room for `size` bytes in all: a block at a time; near the limit, where no block fits, just what is needed, so
    /// that it stays exact.
    pub(super) async fn cover(&self, size: u64) -> Result<()> {
        let held = self.held();
        let Some(needed) = size.checked_sub(held).filter(|needed| *needed > 0) else { return Ok(()) };
        if self.grow_in_block(needed) {
            return Ok(());
        }
        let block = needed.max(BLOCK.min(self.state.settings.uploads.max_bytes.saturating_sub(held)));
        match self.try_to_grow(block).await {
            Err(error) if error.code() == Code::QuotaExceeded => self.grow(needed).await,
            result => result,
        }
    }

    /// Takes over what somebody else has reserved under this id, and makes it up to `size`.
    pub(super) async fn adopt(&self, size: u64) -> Result<()> {
        let held = self.reserve(0).await?;
        self.note(held);
        self.grow(size.saturating_sub(held)).await
    }

    /// A sign of life. A block has signs of its own.
    pub(super) async fn prolong(&self) -> Result<()> {
        if self.block().is_some() { Ok(()) } else { self.try_to_grow(0).await }
    }

    /// Reserves so many bytes more, those included that this process has leased and not spent.
    pub(super) async fn grow(&self, bytes: u64) -> Result<()> {
        match self.try_to_grow(bytes).await {
            Err(error)
                if error.code() == Code::QuotaExceeded
                    && self.state.blocks.give_back(&self.state, self.caller.organization()).await? =>
            {
                self.try_to_grow(bytes).await
            }
            result => result,
        }
    }

    async fn try_to_grow(&self, bytes: u64) -> Result<()> {
        if self.grow_in_block(bytes) {
            return Ok(());
        }
        // What outgrows its block has a reservation of its own for all of it.
        let is_moving = self.block().is_some();
        let wanted = self.held() + bytes;
        let mut held = self.reserve(if is_moving { wanted } else { bytes }).await?;
        if held < wanted {
            // Signs of life did not come through, and it was given back.
            held = self.reserve(wanted - held).await?;
        }
        if held < wanted {
            return Err(Error::internal(format!("{} holds {held} of {wanted} bytes", self.id)));
        }
        self.note(held);
        Ok(())
    }

    fn grow_in_block(&self, bytes: u64) -> bool {
        match &mut *self.room() {
            Room::Own { .. } | Room::Over => false,
            Room::InBlock(held) => held.grow(bytes),
        }
    }

    async fn reserve(&self, bytes: u64) -> Result<u64> {
        if matches!(&*self.room(), Room::Over) {
            return Err(ran_out());
        }
        let ttl = self.state.settings.uploads.reservation_ttl;
        let (tenant, account) = (self.caller.tenant(), self.caller.account());
        quota::reserve(&self.state.platform, self.id, tenant, account, bytes, ttl).await
    }

    /// Keeps it, however long it takes until it is settled or released: to be called before the transaction that makes `bytes`
    /// permanent, which is then to call [`Self::spend_in`].
    pub(super) async fn commit(&self, bytes: i64) -> Result<()> {
        // A block is kept already.
        if self.block().is_some() || quota::commit(&self.state.platform, self.id, self.caller.tenant(), bytes).await? {
            return Ok(());
        }
        Err(ran_out())
    }

    /// What the bytes are to be charged to, in the transaction that makes them permanent. Until it ends, a block is not closed.
    pub(super) async fn spend_in(&self, change: &Change<'_>) -> Result<ReservationId> {
        let Some(block) = self.block() else { return Ok(self.id) };
        if quota::blocks::share(change, block).await? {
            return Ok(block);
        }
        if let Room::InBlock(held) = &*self.room() {
            held.forget_block();
        }
        Err(ran_out())
    }

    /// It is the usage event's from now on, or may be. Says how much of a block that is.
    pub(super) fn spend(&self) -> u64 {
        match &mut *self.room() {
            Room::InBlock(held) => held.spend(),
            Room::Own { .. } | Room::Over => 0,
        }
    }

    /// What was taken for spent is not.
    pub(super) fn unspend(&self, bytes: u64) {
        if let Room::InBlock(held) = &mut *self.room() {
            held.unspend(bytes);
        }
    }

    /// Gives it back, for good.
    pub(super) async fn release(&self) -> Result<()> {
        let room = std::mem::replace(&mut *self.room(), Room::Over);
        match room {
            Room::InBlock(_) => Ok(()),
            Room::Own { .. } | Room::Over => quota::release(&self.state.platform, self.id).await,
        }
    }

    /// Takes nothing of it any more, and leaves it to whoever else it stands for.
    pub(super) fn leave(&self) {
        *self.room() = Room::Over;
    }

    fn held(&self) -> u64 {
        match &*self.room() {
            Room::Own { held } => *held,
            Room::InBlock(held) => held.bytes(),
            Room::Over => 0,
        }
    }

    fn block(&self) -> Option<ReservationId> {
        match &*self.room() {
            Room::Own { .. } | Room::Over => None,
            Room::InBlock(held) => Some(held.block()),
        }
    }

    /// So much is held under its own id; a block's part is free again.
    fn note(&self, bytes: u64) {
        let mut room = self.room();
        match &mut *room {
            Room::Own { held } => *held = bytes.max(*held),
            Room::InBlock(_) => *room = Room::Own { held: bytes },
            Room::Over => {}
        }
    }

    /// Never held across an await.
    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a reservation back at the end of one of its uploads, unless it stands for something else as well: what came in parts has
/// one in common with its completions.
pub(super) async fn end(
    platform: &PlatformPool,
    tenant: &impl Sql,
    reservation: ReservationId,
    intent: Uuid,
) -> Result<()> {
    if intents::store::unknown(tenant, &[reservation], Some(intent)).await?.is_empty() {
        return Ok(());
    }
    quota::release(platform, reservation).await
}
