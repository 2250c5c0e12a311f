//! What is between the data plane and PostgreSQL is slow, silent, or cut.

use std::sync::Arc;
use std::time::Duration;

use rowhouse_testkit::{Cut, FaultProxy, Faults, TestCluster, TestHouse, Toward};

use crate::estate::{BUDGET, DEADLINE, ISOLATIONS, Tenant, house, report, served_again, settle};
use crate::load::{Kind, Load, Tally};
use crate::watch::{Watch, connections, expect_none_forgotten};

const WHILE: Duration = Duration::from_millis(1500);
/// How often a connection is cut off.
const CUTS: usize = 30;
/// What a busy machine may take beyond a deadline.
const GRACE: Duration = Duration::from_secs(2);

/// A house with tenants on a cluster that is reached through a proxy.
pub(crate) struct Behind {
    pub(crate) house: TestHouse,
    pub(crate) cluster: TestCluster,
    pub(crate) proxy: FaultProxy,
    pub(crate) tenants: Arc<Vec<Tenant>>,
}

pub(crate) async fn behind_a_proxy(house: TestHouse, tenants: usize, isolations: &[&'static str]) -> Behind {
    let cluster = TestCluster::private().await;
    let proxy = FaultProxy::before_postgres(cluster.port());
    house.register_at("further", proxy.port()).await;
    let tenants = Arc::new(settle(&house, "further", tenants, isolations).await);
    Behind { house, cluster, proxy, tenants }
}

impl Behind {
    /// Loads the tenants while `faults` lasts, heals what was done, and looks whether all is as before.
    async fn while_there_is(&self, what: &str, faults: impl AsyncFn(&FaultProxy)) -> Tally {
        let watch = Watch::begin(&self.cluster);
        let load = Load::begin(&self.tenants, Kind { uploads: 50, ..Kind::default() });
        tokio::time::sleep(WHILE / 2).await;
        load.until_an_upload_is_kept().await;
        faults(&self.proxy).await;
        self.proxy.heal();
        served_again(&self.tenants, what).await;
        let tally = load.end().await;
        tally.expect_no_complaints(what);
        assert_eq!(tally.unanswered, 0, "{what}: the data plane itself is well");
        tally.ledger.expect_kept(&self.tenants).await;
        let most = watch.most();
        assert!(most <= BUDGET, "{what}: {most} connections are more than the budget");
        tally
    }
}

#[tokio::test]
async fn a_slow_network_makes_answers_slow_and_nothing_else() {
    let behind = behind_a_proxy(house().await, 3, &ISOLATIONS).await;
    let slow = Faults { latency: Duration::from_millis(20), jitter: Duration::from_millis(20), ..Faults::default() };
    let tally = behind
        .while_there_is("slow", async |proxy| {
            proxy.set(slow);
            tokio::time::sleep(WHILE * 2).await;
        })
        .await;
    let refused = tally.answers.iter().filter(|(status, _)| **status >= 500).count();
    assert_eq!(refused, 0, "nobody was refused: {:?}", tally.answers);
}

#[tokio::test]
async fn cut_connections_are_replaced() {
    let behind = behind_a_proxy(house().await, 6, &ISOLATIONS).await;
    let tally = behind
        .while_there_is("cut", async |proxy| {
            for round in 0..CUTS {
                let cut = if round % 2 == 0 { Cut::Reset } else { Cut::Finish };
                match proxy.connections().get(round % BUDGET) {
                    Some(one) => one.cut(cut),
                    None => proxy.cut(cut),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            proxy.cut(Cut::Reset);
        })
        .await;
    // Refusals are quick, and these clients ask again at once: how many there were says nothing.
    assert!(tally.served() > 2 * CUTS as u64, "more were served than cut off: {:?}", tally.answers);
    expect_none_forgotten(&behind.cluster).await;
}

#[tokio::test]
async fn half_closed_connections_are_replaced() {
    for toward in [Toward::Client, Toward::Server] {
        let behind = behind_a_proxy(house().await, 3, &ISOLATIONS).await;
        let what = format!("half-closed toward the {toward:?}");
        behind
            .while_there_is(&what, async |proxy| {
                for _ in 0..5 {
                    proxy.half_close(toward);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            })
            .await;
        expect_none_forgotten(&behind.cluster).await;
    }
}

#[tokio::test]
async fn a_network_that_falls_silent_ends_requests_by_their_deadline() {
    let behind = behind_a_proxy(house().await, 6, &ISOLATIONS).await;
    let tally = behind
        .while_there_is("silent", async |proxy| {
            proxy.set(Faults { silent: true, ..Faults::default() });
            tokio::time::sleep(DEADLINE + WHILE).await;
        })
        .await;
    report(&format!("silent: the slowest answer was {:?}", tally.slowest));
    assert!(tally.slowest.0 < DEADLINE + GRACE, "an answer took {:?}", tally.slowest);
}

#[tokio::test]
async fn a_cluster_that_refuses_connections_is_answered_503_and_comes_back() {
    let behind = behind_a_proxy(house().await, 6, &ISOLATIONS).await;
    let tally = behind
        .while_there_is("refused", async |proxy| {
            proxy.refuse();
            proxy.cut(Cut::Reset);
            tokio::time::sleep(WHILE).await;
        })
        .await;
    assert!(tally.answers.contains_key(&503), "somebody must have been refused: {:?}", tally.answers);
    assert!(connections(&behind.cluster, "true").await <= BUDGET);
}
