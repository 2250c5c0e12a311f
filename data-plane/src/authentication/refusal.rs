//! A record of refused keys, as far as that is no way to fill a disk.
//!
//! Every well-formed key that is refused, a scope that it lacks included, becomes a row `api_key.refused`: up to 50 a
//! second for each process; beyond that refusals are counted in the metric `rowhouse_keys_refused_total` (labelled with
//! the reason) and answered as ever, but not written. The answer does not wait for the row, so a process that dies loses
//! the rows under way. What is missing or has not the form of a key gets no row: it says nothing about any key.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use actix_web::http::header;
use actix_web::{HttpMessage, HttpRequest};
use rowhouse_database::PlatformPool;
use rowhouse_domain::{KeyId, OrganizationId, TenantId};
use rowhouse_keys::KeyKind;
use rowhouse_problem::Error;
use tracing_actix_web::RequestId;

use super::known::Facts;
use super::store;

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

/// Why a key was refused, and whose it is where that is known.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: Error,
    key: Option<KeyId>,
    organization: Option<OrganizationId>,
    pub(super) tenant: Option<TenantId>,
}

impl Refusal {
    /// Of a key whose secret nobody has compared.
    pub(super) fn unverified(error: Error) -> Self {
        Self { error, key: None, organization: None, tenant: None }
    }

    /// Of a key that is known.
    pub(super) fn of(error: Error, facts: &Facts) -> Self {
        Self { error, key: Some(facts.key), organization: Some(facts.organization), tenant: Some(facts.tenant) }
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

impl Circumstances {
    /// Of a request with a key of this kind and prefix. The address is the connection's: what proxies claim is not believed.
    pub(super) fn of(request: &HttpRequest, kind: KeyKind, prefix: &str) -> Self {
        let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Self {
            kind: kind.marker(),
            prefix: prefix.to_owned(),
            address: request.peer_addr().map(|address| address.ip().to_canonical()),
            user_agent: agent.map(|text| text.chars().take(500).collect()),
            request_id: request.extensions().get::<RequestId>().map(ToString::to_string),
            method: request.method().to_string(),
            path: request.match_pattern().unwrap_or_default(),
        }
    }
}

impl RefusalAudit {
    /// Records a refusal, best effort: the caller's answer does not wait for it.
    pub(super) fn record(&self, platform: &PlatformPool, circumstances: Circumstances, refusal: &Refusal) {
        let reason = refusal.error.code().as_str();
        metrics::counter!("rowhouse_keys_refused_total", "reason" => reason).increment(1);
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
