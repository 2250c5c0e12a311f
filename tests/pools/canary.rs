//! No answer ever shows what is another tenant's: tenants whose every name and content bears a mark of their own, on
//! fewer connections than there are tenants, while connections are killed and clients give up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rowhouse_testkit::TestCluster;

use crate::estate::{ISOLATIONS, house_with, indexed, is_soak, report, served_again, settle};
use crate::load::{Dice, Kind, Load};
use crate::watch::Watch;

/// Fewer connections than there are logins, so that they are closed for others all the time.
const SHORT: Run = Run {
    tenants: 24,
    budget: 12,
    load: Kind { clients: 8, uploads: 10, abandoned: 50, stay: 50, pause: Duration::ZERO },
    wanted: 10_000,
    patience: Duration::from_secs(10),
};
/// A long run reads more than it uploads, or the lists that it reads would grow without end.
const SOAK: Run = Run {
    tenants: 60,
    budget: 24,
    load: Kind { clients: 8, uploads: 2, abandoned: 50, stay: 200, pause: Duration::ZERO },
    wanted: 1_000_000,
    patience: Duration::from_secs(4 * 3600),
};

struct Run {
    tenants: usize,
    budget: usize,
    load: Kind,
    wanted: u64,
    patience: Duration,
}

#[tokio::test]
async fn no_answer_shows_what_is_another_tenants() {
    let Run { tenants: number, budget, load, wanted, patience } = if is_soak() { SOAK } else { SHORT };
    let house = house_with(|settings| {
        settings.pools.cluster_budget = budget;
        settings.data_plane.request_timeout = Duration::from_secs(10);
        settings.pools.checkout_timeout = Duration::from_secs(5);
    })
    .await;
    let cluster = TestCluster::private().await;
    house.register("further", &cluster).await;
    let begun = Instant::now();
    let tenants = Arc::new(settle(&house, "further", number, &ISOLATIONS).await);
    indexed(&tenants).await;
    report(&format!("canary: {number} tenants were ready after {:?}", begun.elapsed()));
    let watch = Watch::begin(&cluster);
    let begun = Instant::now();
    let load = Load::begin(&tenants, load);
    let admin = cluster.admin("postgres").await;
    let mut dice = Dice::new(1);
    let mut killed = 0;
    while load.asked() < wanted && begun.elapsed() < patience {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let pids = "select pid from pg_stat_activity where starts_with(usename, 'tenant_') order by pid";
        let pids = admin.query(pids, &[]).await.unwrap();
        if !pids.is_empty() {
            let pid: i32 = pids[dice.roll(pids.len())].try_get(0).unwrap();
            let _ = admin.query("select pg_terminate_backend($1)", &[&pid]).await.unwrap();
            killed += 1;
        }
        if killed % 60 == 0 {
            report(&format!("canary: {} requests in {:?}", load.asked(), begun.elapsed()));
        }
        let complaints = load.take_complaints();
        assert!(complaints.is_empty(), "after {} requests: {complaints:#?}", load.asked());
    }
    let asked = load.asked();
    let took = begun.elapsed();
    served_again(&tenants, "canary").await;
    let tally = load.end().await;
    report(&format!("canary: {asked} requests in {took:?}, {killed} connections killed"));
    tally.expect_no_complaints("canary");
    assert_eq!(tally.unanswered, 0, "the data plane itself is well");
    assert!(asked >= wanted || !is_soak(), "only {asked} requests in {took:?}");
    assert!(tally.served() > tally.answered() / 2, "most were served: {:?}", tally.answers);
    tally.ledger.expect_kept(&tenants).await;
    let most = watch.most();
    assert!(most <= budget, "{most} connections are more than the budget");
}
