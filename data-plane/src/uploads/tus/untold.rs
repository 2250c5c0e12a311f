//! An upload whose address its client has not been told yet.

use rowhouse_domain::UploadId;
use rowhouse_problem::{Code, Result};
use tracing::Instrument;

use super::create::finish;
use crate::authentication::Caller;
use crate::state::AppState;
use crate::uploads::{Protocol, Session, abandon, store};

/// Ends an upload unless its address is told: after an error, or where the client went away before the answer, nobody could go on
/// with it or end it, and its room would be held for a day.
pub(super) struct Untold {
    state: AppState,
    caller: Caller,
    id: Option<UploadId>,
}

impl Untold {
    pub(super) fn new(state: &AppState, caller: &Caller, session: &Session) -> Self {
        Self { state: state.clone(), caller: caller.clone(), id: Some(session.new.id) }
    }

    /// The answer goes out: from now on the upload is its client's.
    pub(super) fn tell(mut self) {
        self.id = None;
    }

    /// Ends it before the error is told.
    pub(super) async fn end(mut self) {
        if let Some(id) = self.id.take() {
            end(&self.state, &self.caller, id).await;
        }
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let (state, caller) = (self.state.clone(), self.caller.clone());
            tokio::spawn(async move { settle(&state, &caller, id).await }.in_current_span());
        }
    }
}

/// The client has left. What has come whole becomes the file all the same; the rest is nobody's.
async fn settle(state: &AppState, caller: &Caller, id: UploadId) {
    let made: Result<bool> = async {
        let session = store::find(&caller.connection(state).await?, id, Protocol::Tus).await?;
        if !session.is_complete() {
            return Ok(false);
        }
        finish(state, caller, &session).await.map(|()| true)
    }
    .await;
    if !matches!(made, Ok(true)) {
        end(state, caller, id).await;
    }
}

async fn end(state: &AppState, caller: &Caller, id: UploadId) {
    match abandon(state, caller, id, Protocol::Tus).await {
        Ok(()) => {}
        Err(error) if error.code() == Code::NotFound => {}
        Err(error) => tracing::warn!(error = error.chain(), "an upload that nobody knows of is left until it expires"),
    }
}
