//! One tenant after the other, all of them, again and again.

use std::time::{Duration, Instant};

use rowhouse_database::PlatformPool;
use rowhouse_domain::TenantId;
use rowhouse_problem::Result;
use uuid::Uuid;

use super::store::{self, Next};

/// Tenants that are listed at once.
const PAGE: i64 = 100;
/// The shortest pause before each.
const PAUSE: Duration = Duration::from_millis(50);
/// How soon a list is asked for again that could not be had.
const AGAIN: Duration = Duration::from_secs(30);

/// Goes round all active tenants, for as long as somebody asks for the next. A round is spread over its period, since each tenant
/// that is looked at may need a connection that somebody else has to give up for it, and many processes may begin at once. But few
/// are done with soon. Each process has an order of its own: where all of them end within a day, none is always too late for the same.
pub(crate) struct Rounds {
    platform: PlatformPool,
    /// From the beginning of a round to that of the next.
    period: Duration,
    began: Instant,
    /// What makes the order.
    seed: i64,
    page: std::vec::IntoIter<Next>,
    /// Where it stands.
    last: Option<i64>,
}

impl Rounds {
    pub(crate) fn new(platform: PlatformPool, period: Duration) -> Self {
        let page = Vec::new().into_iter();
        Self {
            platform,
            period,
            began: Instant::now(),
            seed: Uuid::now_v7().as_u64_pair().1.cast_signed(),
            page,
            last: None,
        }
    }

    /// The tenant whose turn it is, when it is.
    pub(crate) async fn next(&mut self) -> TenantId {
        loop {
            if let Some(Next { tenant, place, left }) = self.page.next() {
                tokio::time::sleep(pause(self.period.saturating_sub(self.began.elapsed()), left)).await;
                self.last = Some(place);
                return tenant;
            }
            match self.list().await {
                Ok(page) if page.is_empty() => {
                    tokio::time::sleep(self.period.saturating_sub(self.began.elapsed()).max(AGAIN)).await;
                    (self.last, self.began) = (None, Instant::now());
                }
                Ok(page) => self.page = page.into_iter(),
                Err(error) => {
                    tracing::warn!(error = error.chain(), "a round of all tenants has to wait");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn list(&self) -> Result<Vec<Next>> {
        store::active_after(&self.platform.get().await?, self.seed, self.last, PAGE).await
    }
}

/// The pause before one of so many tenants that are left, where so much of the period is left.
fn pause(left_of_period: Duration, tenants: u32) -> Duration {
    let tenants = tenants.max(1);
    (left_of_period / tenants).clamp(PAUSE, PAUSE * tenants)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn round(tenants: u32) -> Duration {
        (1..=tenants).rev().fold(Duration::ZERO, |passed, left| passed + pause(DAY.saturating_sub(passed), left))
    }

    #[test]
    fn a_round_of_many_takes_its_period_and_one_of_few_no_time() {
        assert!(round(3) < Duration::from_secs(1));
        assert!(round(100) < Duration::from_secs(300));
        for tenants in [5_000, 10_000, 100_000] {
            let took = round(tenants).as_secs_f64() / DAY.as_secs_f64();
            assert!((0.9..=1.0).contains(&took), "{tenants} take {took} of a day");
        }
        // No faster than that, whatever is to be done.
        assert_eq!(pause(DAY, 10_000_000), PAUSE);
        assert_eq!(pause(Duration::ZERO, 10), PAUSE);
    }
}
