//! Who waits for whom inside one process: the reconciler for wishes, handlers for results.

use std::time::Duration;

use rowhouse_domain::OperationId;
use rowhouse_problem::{Error, Result};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::model::{Operation, OperationState};
use super::store;
use crate::context::Context;

/// Another replica may do the work, of which this process hears nothing: so often a waiting handler looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Wakes the reconciler, and those who wait for what it does.
pub(crate) struct Pulse {
    wish: Notify,
    ended: watch::Sender<u64>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { wish: Notify::new(), ended: watch::Sender::new(0) }
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

    /// Says that an operation ended.
    pub(super) fn ended(&self) {
        self.ended.send_modify(|count| *count += 1);
    }
}

/// Waits until an operation has ended or the time is up. How it stands then, unless it succeeded. Holds no connection
/// meanwhile.
pub(crate) async fn wait(context: &Context, id: OperationId, at_most: Duration) -> Result<Option<Operation>> {
    let deadline = Instant::now() + at_most;
    let mut ended = context.pulse.ended.subscribe();
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
        // An error would mean that the sender is gone, and the context owns it.
        let _ = tokio::time::timeout_at(deadline.min(now + LOOK_AGAIN), ended.changed()).await;
    }
}
