//! PostgreSQL, or a connection to it, is killed under load.

use std::sync::Arc;
use std::time::Duration;

use rowhouse_testkit::TestCluster;

use crate::estate::{BUDGET, ISOLATIONS, house, report, served_again, settle};
use crate::load::{Dice, Kind, Load};
use crate::watch::{Watch, expect_none_forgotten};

/// Long enough for everything to be in use.
const WHILE: Duration = Duration::from_millis(1200);

#[tokio::test]
async fn postgres_is_killed_under_load_and_serves_as_before_within_five_seconds_of_its_return() {
    let house = house().await;
    let cluster = TestCluster::private().await;
    house.register("further", &cluster).await;
    let tenants = Arc::new(settle(&house, "further", 6, &ISOLATIONS).await);
    let watch = Watch::begin(&cluster);
    let load = Load::begin(&tenants, Kind::default());
    load.until_an_upload_is_kept().await;
    tokio::time::sleep(WHILE).await;
    let killed = cluster.kill().await;
    tokio::time::sleep(WHILE).await;
    let cluster = killed.start().await;
    served_again(&tenants, "killed").await;
    tokio::time::sleep(WHILE).await;
    let tally = load.end().await;
    tally.expect_no_complaints("killed");
    assert_eq!(tally.unanswered, 0, "the data plane itself is well");
    tally.ledger.expect_kept(&tenants).await;
    assert!(watch.most() <= BUDGET, "more connections than the budget");
    expect_none_forgotten(&cluster).await;
}

#[tokio::test]
async fn connections_are_terminated_at_random_under_load_and_nobody_notices_but_who_was_on_them() {
    let house = house().await;
    let cluster = TestCluster::private().await;
    house.register("further", &cluster).await;
    let tenants = Arc::new(settle(&house, "further", 6, &ISOLATIONS).await);
    let watch = Watch::begin(&cluster);
    let load = Load::begin(&tenants, Kind::default());
    load.until_an_upload_is_kept().await;
    let admin = cluster.admin("postgres").await;
    let mut dice = Dice::new(4711);
    let mut terminated = 0;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let pids = "select pid from pg_stat_activity where starts_with(usename, 'tenant_') order by pid";
        let pids = admin.query(pids, &[]).await.unwrap();
        if pids.is_empty() {
            continue;
        }
        let pid: i32 = pids[dice.roll(pids.len())].try_get(0).unwrap();
        let _ = admin.query("select pg_terminate_backend($1)", &[&pid]).await.unwrap();
        terminated += 1;
    }
    served_again(&tenants, "terminated").await;
    let tally = load.end().await;
    tally.expect_no_complaints("terminated");
    assert_eq!(tally.unanswered, 0, "the data plane itself is well");
    assert!(terminated > 20, "only {terminated} connections were terminated");
    let refused = tally.answered() - tally.served();
    report(&format!("terminated: {terminated} connections, {refused} requests not served"));
    tally.ledger.expect_kept(&tenants).await;
    assert!(watch.most() <= BUDGET, "more connections than the budget");
    expect_none_forgotten(&cluster).await;
}
