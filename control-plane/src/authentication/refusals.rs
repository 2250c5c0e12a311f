//! Refused keys in the audit log, as many as it can bear.
//!
//! Every well-formed key that is refused becomes a row `api_key.refused`, up to 20 a second for each process; past that
//! refusals are counted in the metric `rowhouse_keys_refused_total` (labelled with the reason) and answered as ever, but
//! not written. The answer does not wait for the row, so a process that dies loses the rows under way. What is missing
//! or has not the form of a key gets no row at all: it says nothing about any key. The metric
//! `rowhouse_keys_malformed_total` counts the latter.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rowhouse_keys::{KeyKind, PlainApiKey};

use super::key_check::Refusal;
use super::store::{self, RefusedKey};
use crate::access::Access;
use crate::audit::Requester;
use crate::context::Context;

/// Rows that one process writes in a second: enough to see an attack, too few for an attack to fill the table.
const ROWS_PER_SECOND: u32 = 20;

/// How many refusals may still be written in the current second. The rest is counted in a metric only.
pub(crate) struct RefusalBudget(Mutex<(Instant, u32)>);

impl Default for RefusalBudget {
    fn default() -> Self {
        Self(Mutex::new((Instant::now(), 0)))
    }
}

impl RefusalBudget {
    fn take(&self, now: Instant) -> bool {
        let mut window = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if now.duration_since(window.0) >= Duration::from_secs(1) {
            *window = (now, 0);
        }
        window.1 += 1;
        window.1 <= ROWS_PER_SECOND
    }
}

/// Writes a refusal down beside the answer: the caller does not wait for it, nor fail with it.
pub(super) fn record(
    context: &Arc<Context>,
    key: &PlainApiKey,
    refusal: &Refusal,
    requester: &Requester,
    row: &Access,
) {
    let reason = refusal.error.code().as_str();
    metrics::counter!("rowhouse_keys_refused_total", "reason" => reason).increment(1);
    if !context.refusals.take(Instant::now()) {
        return;
    }
    let refused = RefusedKey {
        reason,
        kind: match key.kind() {
            KeyKind::Platform => "platform",
            KeyKind::Organization => "organization",
            KeyKind::Tenant => "tenant",
        },
        prefix: key.prefix().to_owned(),
        key: refusal.key,
        organization: refusal.organization,
        requester: requester.clone(),
        method: row.method,
        path: row.path,
    };
    let context = Arc::clone(context);
    tokio::spawn(async move {
        let written = async { store::audit_refused_key(&context.platform.get().await?, &refused).await };
        if let Err(error) = written.await {
            tracing::warn!(error = error.chain(), "a refused key could not be audited");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_the_next_second_starts_afresh() {
        let budget = RefusalBudget::default();
        let now = Instant::now();
        assert_eq!((0..1000).filter(|_| budget.take(now)).count(), ROWS_PER_SECOND as usize);
        assert!(budget.take(now + Duration::from_secs(2)));
    }
}
