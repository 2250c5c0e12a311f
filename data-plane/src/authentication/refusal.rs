//! A record of every refused key, as far as that is no way to fill a disk.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use rowhouse_database::PlatformPool;

use super::store::{self, Refusal};

/// Rows that one process writes in a second; beyond that refusals are only counted.
const PER_SECOND: u64 = 50;

/// Writes refused keys to the audit log, at most so many a second.
#[derive(Clone)]
pub struct RefusalAudit(Arc<Window>);

struct Window {
    begun: Instant,
    second: AtomicU64,
    left: AtomicI64,
}

impl Default for RefusalAudit {
    fn default() -> Self {
        Self(Arc::new(Window { begun: Instant::now(), second: AtomicU64::new(0), left: AtomicI64::new(0) }))
    }
}

impl Window {
    /// Whether there is room for another row in this second.
    fn take(&self) -> bool {
        let now = self.begun.elapsed().as_secs() + 1;
        if self.second.swap(now, Ordering::AcqRel) != now {
            self.left.store(i64::try_from(PER_SECOND).unwrap_or(i64::MAX), Ordering::Release);
        }
        self.left.fetch_sub(1, Ordering::AcqRel) > 0
    }
}

/// What is known of the request.
pub(super) struct Circumstances {
    pub(super) kind: &'static str,
    pub(super) prefix: String,
    pub(super) address: Option<IpAddr>,
    pub(super) user_agent: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) method: String,
    pub(super) path: String,
}

impl RefusalAudit {
    /// Records a refusal, best effort: the caller's answer does not wait for it.
    pub(super) fn record(&self, platform: &PlatformPool, circumstances: Circumstances, refusal: &Refusal) {
        let reason = refusal.error.code().as_str();
        metrics::counter!("rowhouse_refused_keys_total", "reason" => reason).increment(1);
        if !self.0.take() {
            return;
        }
        let platform = platform.clone();
        let key = refusal.key.map(|id| id.as_uuid());
        let organization = refusal.organization.map(|id| id.as_uuid());
        let tenant = refusal.tenant.map(|id| id.as_uuid());
        tokio::spawn(async move {
            let write = async {
                let connection = platform.get().await?;
                store::audit_refusal(&connection, reason, &circumstances, [key, organization, tenant]).await
            };
            if let Err(error) = write.await {
                tracing::warn!(error = error.chain(), "a refused key could not be recorded");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_not_written_down() {
        let audit = RefusalAudit::default();
        let written = (0..1000).filter(|_| audit.0.take()).count();
        // Two seconds may have been touched.
        assert!((50..=100).contains(&written), "{written}");
    }
}
