//! A replica's part of each cluster's budget: leased in `saas_platform`, and moved to where the load is.
//!
//! A replica holds no more than it was told last, or, once that is too long ago, than its floor. What it may hold
//! shrinks in `saas_platform` only after it has said that it holds less; that of a replica that is no longer heard of
//! only when its sessions are gone from the cluster, which any login can see (`pg_stat_activity.application_name`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rowhouse_domain::ClusterId;
use rowhouse_problem::{Code, Error, Result};
use uuid::Uuid;

use super::ledger::Lapse;
use super::pools::TenantPools;
use crate::error::Described;
use crate::platform::PlatformPool;
use crate::sql::{Columns, Sql};

/// How long a lease lasts by the clock of `saas_platform`.
const TTL: Duration = Duration::from_secs(10);
/// By the replica's own clock it ends so much earlier: closing what is too much takes time.
const MARGIN: Duration = Duration::from_secs(4);
/// How often a replica that has what it needs asks again.
const CALM: Duration = Duration::from_secs(1);
/// How often one does whose callers wait, or that has less than it holds.
const BUSY: Duration = Duration::from_millis(200);

/// How long a renewal may be held up by counting the sessions of others.
const PATIENCE_WITH_THE_DEAD: Duration = Duration::from_secs(1);

/// Connections of each cluster that were granted to a replica as its own.
pub type Floors = BTreeMap<ClusterId, usize>;

/// One life of one process of the data plane.
#[derive(Debug, Clone)]
pub struct Replica {
    id: Uuid,
    epoch: i64,
    floor: usize,
    /// How long after it was last heard of its floor is kept for it.
    kept: Duration,
    /// What its earlier lives were granted of it; none where it has no other lives.
    granted: Option<Arc<Floors>>,
}

impl Replica {
    /// One that begins now. `floor` connections to each cluster are its own even when `saas_platform` is away, once they were
    /// granted; they are kept for it for so long after it was last heard of.
    pub fn new(id: Uuid, floor: usize, kept: Duration) -> Self {
        let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let epoch = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
        Self { id, epoch, floor, kept, granted: None }
    }

    /// The same, of which earlier lives were granted so much, and which may return after it has ended.
    #[must_use]
    pub fn returning(self, granted: Floors) -> Self {
        Self { granted: Some(Arc::new(granted)), ..self }
    }

    /// What it may hold on a cluster before it could ask.
    fn granted(&self, cluster: ClusterId) -> Option<usize> {
        self.granted.as_ref()?.get(&cluster).map(|granted| self.floor.min(*granted))
    }

    /// Who it is, in all of its lives.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Which of them this is: when it began, in milliseconds.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// How its sessions are named in `pg_stat_activity`; at most 63 bytes.
    pub(super) fn application(&self) -> String {
        replica_application(self.id, self.epoch)
    }
}

/// How the sessions of one life of a replica are named in `pg_stat_activity`.
pub fn replica_application(replica: Uuid, epoch: i64) -> String {
    format!("rowhouse_data {}.{epoch:x}", replica.simple())
}

/// What a cluster's connections are leased on.
#[derive(Debug)]
pub(super) struct Lease {
    /// The limit that was told last, and until when it holds by our clock; none before the first.
    told: Option<(usize, Instant)>,
    next: Instant,
    /// Whether it was said that the floors of all replicas are more than there is.
    is_short: bool,
}

impl Lease {
    pub(super) fn new(now: Instant) -> Self {
        Self { told: None, next: now, is_short: false }
    }

    /// What may be held without an answer. Before the first answer it is what an earlier life of the replica was granted of its
    /// floor; later no more than was told last, which is less where the floors of all are more than there is.
    fn fallback(&self, replica: &Replica, cluster: ClusterId, now: Instant) -> Option<usize> {
        match self.told {
            None => replica.granted(cluster),
            Some((limit, ends)) => (ends <= now).then_some(replica.floor.min(limit)),
        }
    }

    /// Whether it is time to ask.
    fn is_due(&self, is_pressed: bool, now: Instant) -> bool {
        let early = if is_pressed { CALM - BUSY } else { Duration::ZERO };
        now + early >= self.next
    }
}

const LEASE: &str = "
    select \"limit\", budget, floors, gone_replicas, gone_epochs
    from connections_lease($1, $2, $3, $4, $5, $6, make_interval(secs => $7))";
const GONE: &str = "select connections_gone($1, $2, $3, $4, make_interval(secs => $5))";
const RELEASE: &str = "select connections_release($1, $2, $3)";
const SESSIONS: &str = "select count(*) as sessions from pg_stat_activity where application_name = $1";

/// What a replica is told.
struct Told {
    limit: usize,
    /// Where the floors of all replicas are more than the cluster's budget: both.
    shortage: Option<(i64, i32)>,
    /// Replicas, with the epochs of their lives, whose leases ran out.
    gone: Vec<(Uuid, i64)>,
}

/// Why a replica is told nothing.
enum Untold {
    /// `saas_platform` is away, or silent for longer than an answer would be of use.
    Away,
    /// Another statement of this cluster's is slow, or was refused.
    Refused,
}

/// Asks what may be held. A cluster that is no longer registered has no connections to give.
async fn ask(
    platform: &PlatformPool,
    replica: &Replica,
    cluster: ClusterId,
    [holds, wants]: [usize; 2],
) -> std::result::Result<Told, Untold> {
    let [floor, holds, wants] = [replica.floor, holds, wants].map(|number| i32::try_from(number).unwrap_or(i32::MAX));
    let ask = async {
        let parameters: crate::Parameters<'_> =
            &[&cluster, &replica.id, &replica.epoch, &floor, &holds, &wants, &TTL.as_secs_f64()];
        let row = platform.get().await?.query_opt(LEASE, parameters).await.context("leasing connections")?;
        let Some(row) = row else { return Ok(Told { limit: 0, shortage: None, gone: Vec::new() }) };
        let (replicas, epochs): (Vec<Uuid>, Vec<i64>) = (row.column("gone_replicas")?, row.column("gone_epochs")?);
        let limit = usize::try_from(row.column::<i32>("limit")?).unwrap_or(0);
        let (floors, budget): (i64, i32) = (row.column("floors")?, row.column("budget")?);
        let shortage = (floors > i64::from(budget)).then_some((floors, budget));
        Ok::<_, Error>(Told { limit, shortage, gone: replicas.into_iter().zip(epochs).collect() })
    };
    match tokio::time::timeout(MARGIN, ask).await {
        Ok(Ok(told)) => Ok(told),
        Ok(Err(error)) => {
            tracing::warn!(cluster.id = %cluster, error = error.chain(), "connections could not be leased");
            Err(if error.code() == Code::Unavailable { Untold::Away } else { Untold::Refused })
        }
        Err(_) => {
            tracing::warn!(cluster.id = %cluster, "connections could not be leased: saas_platform is silent");
            Err(Untold::Away)
        }
    }
}

impl TenantPools {
    /// Keeps the leases, for as long as the future is polled. `when_granted` is told how much of the replica's floor each that is
    /// given includes, before the replica says that it obeys it.
    pub async fn keep_leases(&self, platform: &PlatformPool, when_granted: impl Fn(&Replica, ClusterId, usize)) {
        let Some(replica) = self.replica() else { return };
        let renew = async {
            loop {
                self.renew_all(platform, &replica, &when_granted).await;
                tokio::select! {
                    () = tokio::time::sleep(BUSY) => {}
                    () = self.first_seen().notified() => {}
                }
            }
        };
        // Beside the asking, which may wait for its answer until after a lease has ended.
        let watch = async {
            loop {
                tokio::time::sleep(BUSY).await;
                self.let_end(&replica);
            }
        };
        tokio::join!(renew, watch);
    }

    /// Falls back where a lease has ended.
    fn let_end(&self, replica: &Replica) {
        for cluster in self.leased_clusters() {
            let now = Instant::now();
            // Before the first answer nothing has ended; a failed question says what then.
            let fallback = cluster.lease(|lease| lease.told.and_then(|_| lease.fallback(replica, cluster.id, now)));
            if let Some(limit) = fallback {
                cluster.set_budget(limit, None);
            }
        }
    }

    async fn renew_all(
        &self,
        platform: &PlatformPool,
        replica: &Replica,
        when_granted: &impl Fn(&Replica, ClusterId, usize),
    ) {
        let mut is_away = false;
        for cluster in self.leased_clusters() {
            let (is_pressed, holds, wants) = cluster.need();
            let now = Instant::now();
            if !cluster.lease(|lease| lease.is_due(is_pressed, now)) {
                continue;
            }
            let told =
                if is_away { Err(Untold::Away) } else { ask(platform, replica, cluster.id, [holds, wants]).await };
            let told = match told {
                Ok(told) => told,
                Err(why) => {
                    // Waiting for each of the others in vain would keep them from what they may have.
                    is_away |= matches!(why, Untold::Away);
                    let fallback = cluster.lease(|lease| {
                        lease.next = Instant::now() + CALM;
                        lease.fallback(replica, cluster.id, Instant::now())
                    });
                    if let Some(limit) = fallback {
                        cluster.set_budget(limit, None);
                    }
                    continue;
                }
            };
            let limit = told.limit.min(self.most());
            let ends = now + TTL - MARGIN;
            let is_short = told.shortage.is_some();
            let was_short = cluster.lease(|lease| {
                let was_short = lease.is_short;
                *lease = Lease { told: Some((limit, ends)), next: now + CALM, is_short };
                was_short
            });
            if let Some((floors, budget)) = told.shortage.filter(|_| !was_short) {
                tracing::error!(
                    cluster.id = %cluster.id, floors, budget,
                    "the floors of all data planes are more than the cluster's budget, and are lessened: lower pools.floor, \
                     or raise the budget"
                );
            }
            let floor = replica.floor.min(limit);
            // The ledger looks at the time itself: after a process was stopped for a while, nothing is opened on an old lease.
            cluster.set_budget(limit, Some(Lapse { at: ends, to: floor }));
            when_granted(replica, cluster.id, floor);
            for gone in told.gone {
                let buried = self.bury(platform, cluster.id, replica.kept, gone);
                match tokio::time::timeout(PATIENCE_WITH_THE_DEAD, buried).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(error = error.chain(), "a replica that is gone could not be counted")
                    }
                    Err(_) => tracing::debug!("no connection came free to count a replica that is gone"),
                }
            }
        }
    }

    /// Counts what is left of a replica that is no longer heard of.
    async fn bury(
        &self,
        platform: &PlatformPool,
        cluster: ClusterId,
        kept: Duration,
        (replica, epoch): (Uuid, i64),
    ) -> Result<()> {
        // Whoever has nobody to serve on the cluster has no use for its part either.
        let Some(placement) = self.anybody_on(cluster) else { return Ok(()) };
        let sessions = {
            let connection = self.checkout(&placement).await?;
            let row = connection.query_one(SESSIONS, &[&replica_application(replica, epoch)]).await;
            row.context("counting the sessions of a replica that is gone")?.column::<i64>("sessions")?
        };
        let left = i32::try_from(sessions).unwrap_or(i32::MAX);
        let parameters: crate::Parameters<'_> = &[&cluster, &replica, &epoch, &left, &kept.as_secs_f64()];
        let connection = platform.get().await?;
        connection.query_one(GONE, parameters).await.context("recording a replica that is gone").map(drop)
    }

    /// Closes everything and gives all parts back, as far as connections end within seconds. A replica that may return keeps what it
    /// was granted of its floor.
    ///
    /// # Errors
    /// Where `saas_platform` does not answer, or a session does not end; then the leases run out.
    pub async fn end(&self, platform: &PlatformPool) -> Result<()> {
        self.close_all();
        let Some(replica) = self.replica() else { return Ok(()) };
        let begun = Instant::now();
        while self.load().0 > 0 {
            if begun.elapsed() > MARGIN {
                return Err(Error::unavailable("sessions do not end"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let connection = platform.get().await?;
        let parameters: crate::Parameters<'_> = &[&replica.id, &replica.epoch, &replica.granted.is_some()];
        connection.query_one(RELEASE, parameters).await.context("giving leases back").map(drop)
    }
}
