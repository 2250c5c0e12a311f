//! Room for parts that come in any order, and more than once: a number counts once, with what is there of it or is coming.

use rowhouse_problem::{Error, Result};
use tracing::Instrument;

use super::parts::{reserve, uncover};
use super::{Session, store};
use crate::authentication::Caller;
use crate::quota;
use crate::state::AppState;

/// What one part on its way has reserved, with its upload's other parts. Dropped, it is given back.
pub(crate) struct Room(Option<Box<Held>>);

struct Held {
    state: AppState,
    caller: Caller,
    session: Session,
    /// What this part has reserved.
    bytes: u64,
    /// What of that is too much once it has taken its place.
    rest: u64,
}

impl Room {
    /// Reserves what a part needs beyond the one whose place it is to take.
    pub(crate) async fn take(
        state: &AppState,
        caller: &Caller,
        session: &Session,
        number: i32,
        size: u64,
    ) -> Result<Self> {
        let (parts, there) = store::sizes(&caller.connection(state).await?, session.new.id, number).await?;
        let more = size.saturating_sub(there.unsigned_abs());
        let (state, caller, session) = (state.clone(), caller.clone(), session.clone());
        // In a task of its own: where nobody waits for it any more, what was granted is given back.
        let taken = async move {
            let held = reserve(&state, &caller, &session, more).await?;
            let room = Box::new(Held { state, caller, session, bytes: more, rest: 0 });
            let room = Self(Some(room));
            if held < parts.unsigned_abs() + more {
                room.make_up(number).await?;
            }
            Ok(room)
        };
        tokio::spawn(taken.in_current_span()).await.map_err(Error::internal)?
    }

    /// Reserves what the parts that are there have lost: what nobody came back for in time is given away.
    async fn make_up(&self, number: i32) -> Result<()> {
        let Some(Held { state, caller, session, bytes, .. }) = self.0.as_deref() else { return Ok(()) };
        let mut tenant = caller.connection(state).await?;
        let transaction = tenant.transaction().await?;
        // No other part comes to be there meanwhile: it would be counted and its room would not.
        if store::lock(&transaction, session.new.id, session.new.protocol).await?.is_some() {
            let held = reserve(state, caller, session, 0).await?;
            let (parts, _) = store::sizes(&transaction, session.new.id, number).await?;
            reserve(state, caller, session, (parts.unsigned_abs() + bytes).saturating_sub(held)).await?;
        }
        transaction.commit().await
    }

    /// Looks once more, when the part takes the place of one of `replaced` bytes: that may be another one by now.
    pub(super) async fn fit(&mut self, size: i64, replaced: i64) -> Result<()> {
        let Some(held) = &mut self.0 else { return Ok(()) };
        let (size, has) = (size.unsigned_abs(), held.bytes + replaced.unsigned_abs());
        if let Some(short) = size.checked_sub(has).filter(|short| *short > 0) {
            reserve(&held.state, &held.caller, &held.session, short).await?;
            held.bytes += short;
        }
        held.rest = has.saturating_sub(size);
        Ok(())
    }

    /// Before the commit that makes it the part's: without an answer nobody knows whose it is, and it stays the upload's.
    pub(super) fn spend(mut self) -> Rest {
        Rest(self.0.take())
    }

    /// Gives it back: nothing has come of the part.
    pub(crate) async fn give_back(mut self) {
        if let Some(held) = self.0.take() {
            held.give_up().await;
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Some(held) = self.0.take() else { return };
        // Without a runtime the process is ending: the upload's end does it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(held.give_up());
        }
    }
}

/// What is too much of the room of a part that is there.
pub(super) struct Rest(Option<Box<Held>>);

impl Rest {
    pub(super) async fn give_back(self) {
        if let Some(held) = self.0 {
            held.give_back(held.rest).await;
        }
    }
}

impl Held {
    async fn give_up(self: Box<Self>) {
        self.give_back(self.bytes).await;
        uncover(&self.state, &self.caller, &self.session).await;
    }

    async fn give_back(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        if let Err(error) = quota::give_back(&self.state.platform, self.session.reservation, bytes).await {
            tracing::warn!(error = error.chain(), "what a part had reserved is given back with its upload");
        }
    }
}
