//! One tenant after the other, all of them, again and again.

use std::time::Duration;

use rowhouse_database::PlatformPool;
use rowhouse_domain::TenantId;
use rowhouse_problem::Result;

use super::store;

/// Tenants that are listed at once, and the pause before each: 10,000 tenants take nine minutes.
const PAGE: i64 = 100;
const PAUSE: Duration = Duration::from_millis(50);
/// How soon a list is asked for again that could not be had.
const AGAIN: Duration = Duration::from_secs(30);

/// Goes round all active tenants, slowly, for as long as somebody asks for the next.
pub(crate) struct Rounds {
    platform: PlatformPool,
    /// How long nobody's turn it is after the last tenant.
    rest: Duration,
    page: std::vec::IntoIter<TenantId>,
    last: Option<TenantId>,
}

impl Rounds {
    pub(crate) fn new(platform: PlatformPool, rest: Duration) -> Self {
        Self { platform, rest, page: Vec::new().into_iter(), last: None }
    }

    /// The tenant whose turn it is, when it is.
    pub(crate) async fn next(&mut self) -> TenantId {
        loop {
            if let Some(tenant) = self.page.next() {
                tokio::time::sleep(PAUSE).await;
                self.last = Some(tenant);
                return tenant;
            }
            match self.list().await {
                Ok(tenants) if tenants.is_empty() => {
                    self.last = None;
                    tokio::time::sleep(self.rest).await;
                }
                Ok(tenants) => self.page = tenants.into_iter(),
                Err(error) => {
                    tracing::warn!(error = error.chain(), "a round of all tenants has to wait");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn list(&self) -> Result<Vec<TenantId>> {
        store::active_after(&self.platform.get().await?, self.last, PAGE).await
    }
}
