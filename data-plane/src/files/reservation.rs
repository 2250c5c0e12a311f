//! The room that an upload holds while it comes in.

use std::sync::atomic::{AtomicU64, Ordering};

use rowhouse_domain::ReservationId;
use rowhouse_problem::{Code, Error, Result};

use crate::authentication::Caller;
use crate::quota;
use crate::state::AppState;

/// What a body of unknown length reserves at a time.
const BLOCK: u64 = 8 * 1024 * 1024;

/// A reservation that grows with its upload. Its end is the upload's business, not its own.
pub(super) struct Reservation {
    state: AppState,
    caller: Caller,
    id: ReservationId,
    /// Only ever grows; a reservation that was given back meanwhile is made up to it again.
    held: AtomicU64,
}

impl Reservation {
    /// Of nothing yet.
    pub(super) fn new(state: AppState, caller: Caller, id: ReservationId) -> Self {
        Self { state, caller, id, held: AtomicU64::new(0) }
    }

    /// Has room for `size` bytes in all: a block at a time; near the limit, where no block fits, just what is needed, so
    /// that it stays exact.
    pub(super) async fn cover(&self, size: u64) -> Result<()> {
        let held = self.held.load(Ordering::Acquire);
        let Some(needed) = size.checked_sub(held).filter(|needed| *needed > 0) else { return Ok(()) };
        let block = needed.max(BLOCK.min(self.state.settings.uploads.max_bytes.saturating_sub(held)));
        match self.grow(block).await {
            Err(error) if error.code() == Code::QuotaExceeded && block > needed => self.grow(needed).await,
            result => result,
        }
    }

    /// Takes over what somebody else has reserved under this id, and makes it up to `size`.
    pub(super) async fn adopt(&self, size: u64) -> Result<()> {
        let held = self.reserve(0).await?;
        self.held.fetch_max(held, Ordering::AcqRel);
        self.grow(size.saturating_sub(held)).await
    }

    /// Reserves so many bytes more; also a sign of life, of none.
    pub(super) async fn grow(&self, bytes: u64) -> Result<()> {
        let wanted = self.held.load(Ordering::Acquire) + bytes;
        let mut held = self.reserve(bytes).await?;
        if held < wanted {
            // Signs of life did not come through, and it was given back.
            held = self.reserve(wanted - held).await?;
        }
        if held < wanted {
            return Err(Error::internal(format!("{} holds {held} of {wanted} bytes", self.id)));
        }
        self.held.fetch_max(held, Ordering::AcqRel);
        Ok(())
    }

    async fn reserve(&self, bytes: u64) -> Result<u64> {
        let ttl = self.state.settings.uploads.reservation_ttl;
        let (tenant, account) = (self.caller.tenant(), self.caller.account());
        quota::reserve(&self.state.platform, self.id, tenant, account, bytes, ttl).await
    }
}
