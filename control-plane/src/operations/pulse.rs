//! Who waits for whom inside one process: the reconciler for wishes, handlers for results.

use std::time::Duration;

use rowhouse_domain::OperationId;
use rowhouse_problem::{Error, Result};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::model::Operation;
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

/// Waits until an operation has ended or the time is up, and says how it stands then. Holds no connection meanwhile.
pub(crate) async fn wait(context: &Context, id: OperationId, at_most: Duration) -> Result<Operation> {
    let deadline = Instant::now() + at_most;
    let mut ended = context.pulse.ended.subscribe();
    loop {
        let operation = store::find(&context.platform.get().await?, id).await?;
        let operation = operation.ok_or_else(|| Error::not_found("operation", id))?;
        let now = Instant::now();
        if operation.state.is_final() || now >= deadline {
            return Ok(operation);
        }
        // An error would mean that the sender is gone, and the context owns it.
        let _ = tokio::time::timeout_at(deadline.min(now + LOOK_AGAIN), ended.changed()).await;
    }
}
