//! What is to be done every now and then, whoever calls or not.

use std::sync::Arc;
use std::time::Duration;

use rowhouse_problem::Result;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::{idempotency, preparation};

/// Partitions are made for months ahead, so a day more or less does not matter.
const DAILY: Duration = Duration::from_secs(24 * 60 * 60);
/// After a failure it is tried again sooner.
const SOON: Duration = Duration::from_secs(5 * 60);

/// Keeps the platform database in order until it is stopped.
pub(crate) async fn run(context: Arc<Context>, stop: CancellationToken) {
    loop {
        let pause = match tidy(&context).await {
            Ok(()) => DAILY,
            Err(error) => {
                tracing::warn!(error = error.chain(), "housekeeping failed");
                SOON
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn tidy(context: &Context) -> Result<()> {
    let connection = context.platform.get().await?;
    preparation::ensure_log_partitions(&connection).await?;
    let swept = idempotency::sweep(&connection).await?;
    tracing::debug!(swept, "expired idempotency keys were forgotten");
    Ok(())
}
