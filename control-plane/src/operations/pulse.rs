//! Who waits for whom inside one process: the reconciler for wishes, handlers for results.

use std::time::Duration;

use rowhouse_domain::OperationId;
use rowhouse_problem::{Error, Result};
use tokio::sync::Notify;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;

use super::model::{Operation, OperationState};
use super::store;
use crate::context::Context;

/// Another replica may do the work, of which this process hears nothing: so often a waiting handler looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Results that a waiting handler may be behind by; who has missed one looks.
const UNREAD: usize = 256;

/// Wakes the reconciler, and those who wait for what it does.
pub(crate) struct Pulse {
    wish: Notify,
    put_down: broadcast::Sender<PutDown>,
}

/// An operation that this process has put down: done, or to be gone on with by whoever takes it next.
#[derive(Debug, Clone, Copy)]
struct PutDown {
    id: OperationId,
    has_succeeded: bool,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { wish: Notify::new(), put_down: broadcast::Sender::new(UNREAD) }
    }
}

impl Pulse {
    /// Says that there is something to do. To be called after the commit.
    pub(crate) fn wake(&self) {
        self.wish.notify_one();
    }

    /// Completes when there is something to do.
    pub(super) async fn woken(&self) {
        self.wish.notified().await;
    }

    /// Says that this process has put an operation down.
    pub(super) fn put_down(&self, id: OperationId, has_succeeded: bool) {
        // An error would mean that nobody waits.
        let _ = self.put_down.send(PutDown { id, has_succeeded });
    }
}

/// Waits until an operation has ended or the time is up. How it stands then, unless it succeeded. Holds no connection
/// meanwhile.
pub(crate) async fn wait(context: &Context, id: OperationId, at_most: Duration) -> Result<Option<Operation>> {
    let deadline = Instant::now() + at_most;
    let mut put_down = context.pulse.put_down.subscribe();
    loop {
        let state = store::find_state(&context.platform.get().await?, id).await?;
        let state = state.ok_or_else(|| Error::not_found("operation", id))?;
        if state == OperationState::Succeeded {
            return Ok(None);
        }
        let now = Instant::now();
        if state.is_final() || now >= deadline {
            let operation = store::find(&context.platform.get().await?, id).await?;
            return Ok(operation.filter(|operation| operation.state != OperationState::Succeeded));
        }
        let news = tokio::time::timeout_at(deadline.min(now + LOOK_AGAIN), news(&mut put_down, id));
        if news.await.unwrap_or(false) {
            return Ok(None);
        }
    }
}

/// Whether the operation has succeeded, when there is news of it.
async fn news(put_down: &mut broadcast::Receiver<PutDown>, id: OperationId) -> bool {
    loop {
        match put_down.recv().await {
            Ok(news) if news.id == id => return news.has_succeeded,
            Ok(_) => {}
            Err(RecvError::Lagged(_) | RecvError::Closed) => return false,
        }
    }
}
