//! A part on its way in: an object with an intent, until the transaction that makes it the upload's.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rowhouse_blobs::BlobWriter;
use rowhouse_domain::UploadId;
use rowhouse_problem::{Code, Error, Result};

use super::{NewPart, Room, Session, store};
use crate::authentication::Caller;
use crate::files::doors::{self, PartIntent};
use crate::quota;
use crate::state::AppState;

/// A part under way. Dropped, it leaves its intent, which is found when it is past its time.
pub(crate) struct Part {
    state: AppState,
    caller: Caller,
    intent: PartIntent,
    writer: BlobWriter,
    heard_of: Instant,
}

/// Where a part belongs.
pub(crate) enum Slot {
    /// Behind all that has come, which is so many bytes.
    Next { offset: i64, number: i32 },
    /// In the place of any other of this number, with room for it.
    Numbered(i32, Room),
}

impl Part {
    /// Begins a part.
    pub(crate) async fn begin(state: &AppState, caller: &Caller) -> Result<Self> {
        let (intent, writer) = doors::begin_part(state, caller).await?;
        Ok(Self { state: state.clone(), caller: caller.clone(), intent, writer, heard_of: Instant::now() })
    }

    /// Bytes that have come.
    pub(crate) fn size(&self) -> u64 {
        self.writer.size()
    }

    /// Takes bytes in.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if self.heard_of.elapsed() > self.ttl() / 3 {
            self.heard_of = Instant::now();
            doors::extend_part(&self.state, &self.caller, &self.intent).await?;
        }
        self.writer.write(bytes).await.map_err(doors::store_failure)
    }

    fn ttl(&self) -> Duration {
        self.state.settings.uploads.reservation_ttl
    }

    /// Gives the part up.
    pub(crate) async fn discard(self) -> Result<()> {
        self.writer.abort().await.map_err(doors::store_failure)?;
        doors::drop_part(&self.state, &self.caller, &self.intent).await
    }

    /// Makes it the upload's, durable before it is told of.
    pub(crate) async fn finish(self, session: UploadId, slot: Slot) -> Result<NewPart> {
        let written = self.writer.finish().await.map_err(doors::store_failure)?;
        let number = match &slot {
            Slot::Next { number, .. } | Slot::Numbered(number, _) => *number,
        };
        let size = i64::try_from(written.size).map_err(Error::internal)?;
        let part = NewPart {
            number,
            object: self.intent.object(),
            content_key: self.intent.content_key(),
            size,
            sha256: written.sha256.to_vec(),
        };
        let ttl = self.state.settings.uploads.session_ttl;
        let mut tenant = self.caller.connection(&self.state).await?;
        let transaction = tenant.transaction().await?;
        let is_open = match &slot {
            Slot::Next { offset, .. } => store::advance(&transaction, session, *offset, size, ttl).await?,
            Slot::Numbered(..) => store::touch(&transaction, session, ttl).await?,
        };
        if !is_open {
            return Err(moved_on());
        }
        let room = match slot {
            Slot::Next { .. } => None,
            Slot::Numbered(number, mut room) => {
                room.fit(size, store::drop_part(&transaction, session, number).await?).await?;
                Some(room)
            }
        };
        store::insert_part(&transaction, session, doors::bucket(&self.state), &part).await?;
        doors::fulfil_part(&transaction, &self.intent).await?;
        let rest = room.map(Room::spend);
        transaction.commit().await?;
        if let Some(rest) = rest {
            rest.give_back().await;
        }
        Ok(part)
    }
}

/// Somebody else has gone on with the upload, or ended it.
pub(crate) fn moved_on() -> Error {
    let detail = "The upload has gone on, or has ended, meanwhile. Ask for its state.";
    Error::new(Code::OffsetMismatch, detail)
}

/// Reserves more for an upload whose parts come in any order, or keeps what it has reserved for longer. Says what it comes to.
pub(crate) async fn reserve(state: &AppState, caller: &Caller, session: &Session, bytes: u64) -> Result<u64> {
    let ttl = state.settings.uploads.session_ttl;
    let (tenant, account) = (caller.tenant(), caller.account());
    quota::reserve(&state.platform, session.reservation, tenant, account, bytes, ttl).await
}

/// Reserves for an upload whose parts follow each other until it has room for `size` bytes in all, and keeps that for longer.
/// Whatever it has reserved before counts, also for bytes that never came. Says what it has room for.
pub(crate) async fn cover(state: &AppState, caller: &Caller, session: &Session, size: u64) -> Result<u64> {
    let ttl = state.settings.uploads.session_ttl;
    let (tenant, account) = (caller.tenant(), caller.account());
    let grow = |bytes| quota::reserve(&state.platform, session.reservation, tenant, account, bytes, ttl);
    let held = grow(0).await?;
    if size > held { grow(size - held).await } else { Ok(held) }
}

/// Gives back what was reserved for an upload that was given up meanwhile: whoever did that could not know of it. One that has
/// become a file has left its reservation to that.
pub(crate) async fn uncover(state: &AppState, caller: &Caller, session: &Session) {
    let given_back = async {
        let tenant = caller.connection(state).await?;
        match store::find(&tenant, session.new.id, session.new.protocol).await {
            Err(error) if error.code() == Code::NotFound => quota::release(&state.platform, session.reservation).await,
            found => found.map(|_| ()),
        }
    };
    if let Err(error) = given_back.await {
        // It runs out by itself.
        tracing::warn!(error = error.chain(), "what an upload had reserved is not given back");
    }
}
