//! The hands that carry operations out: so many in a process, and all of them on its main runtime.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::reconciler::carry_out;
use super::store::Claimed;
use super::work::Work;
use crate::context::Context;

/// What a process can do at once. A request that finds a hand free claims its operation in the transaction that wishes for
/// it, and need not wait until the reconciler looks.
pub(crate) struct Hands {
    holder: String,
    lease: Duration,
    free: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
    runtime: Handle,
}

/// The right to carry out one operation in this process.
pub(crate) struct Hand {
    pub(super) holder: String,
    pub(super) lease: Duration,
    permit: OwnedSemaphorePermit,
}

impl Hands {
    /// As many as `most`, that put down what they do, between two steps, when `stop` is cancelled.
    pub(crate) fn new(most: usize, lease: Duration, stop: CancellationToken) -> Self {
        Self {
            holder: format!("control-plane {}", Uuid::now_v7()),
            lease,
            free: Arc::new(Semaphore::new(most)),
            tasks: TaskTracker::new(),
            stop,
            // Not that of the handler that brings an operation: it ends with its listener.
            runtime: Handle::current(),
        }
    }

    /// A free one, if there is one and the process is not about to stop.
    pub(crate) fn free(&self) -> Option<Hand> {
        if self.stop.is_cancelled() {
            return None;
        }
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        // Each claim is a holder of its own: this process may take up again what it lost itself.
        let holder = format!("{} {}", self.holder, Uuid::now_v7());
        Some(Hand { holder, lease: self.lease, permit })
    }

    /// Carries a claimed operation out. To be called after the commit.
    pub(crate) fn carry_out(context: &Arc<Context>, claimed: Claimed, hand: Hand) {
        let hands = &context.hands;
        let (work, stop) = (Work { context: Arc::clone(context), claimed }, hands.stop.clone());
        let task = async move {
            let context = Arc::clone(&work.context);
            carry_out(work, stop).await;
            drop(hand.permit);
            // There may be more to do for a free hand.
            context.pulse.wake();
        };
        hands.tasks.spawn_on(task, &hands.runtime);
    }

    /// Completes when nothing is carried out any more.
    pub(super) async fn rest(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
