//! PostgreSQL lets in fewer sessions than the data plane counts on.

use std::sync::Arc;
use std::time::Duration;

use rowhouse_testkit::TestCluster;

use crate::estate::{BUDGET, ISOLATIONS, house, report, served_again, settle};
use crate::load::{Kind, Load};
use crate::watch::Watch;

#[tokio::test]
async fn a_server_with_fewer_places_than_the_budget_is_answered_503_and_never_500() {
    let house = house().await;
    let cluster = TestCluster::private().await;
    house.register("further", &cluster).await;
    let tenants = Arc::new(settle(&house, "further", 9, &ISOLATIONS).await);
    // Three of them are the superuser's, and one this test's.
    let few = 8;
    assert!(few < BUDGET);
    let cluster = cluster.stop().await.start_with_room_for(few.try_into().unwrap()).await;
    let load = Load::begin(&tenants, Kind { clients: 24, ..Kind::default() });
    tokio::time::sleep(Duration::from_secs(3)).await;
    load.until_an_upload_is_kept().await;
    let tally = load.end().await;
    tally.expect_no_complaints("starved");
    assert_eq!(tally.unanswered, 0, "the data plane itself is well");
    assert!(tally.served() > 0, "nobody was served at all");
    let cluster = cluster.stop().await.start().await;
    served_again(&tenants, "starved").await;
    tally.ledger.expect_kept(&tenants).await;
    let watch = Watch::begin(&cluster);
    let load = Load::begin(&tenants, Kind::default());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let tally = load.end().await;
    tally.expect_no_complaints("fed again");
    assert_eq!(tally.answered(), tally.served() + tally.answers.get(&404).copied().unwrap_or(0), "all is as before");
    assert!(watch.most() <= BUDGET);
}

#[tokio::test]
async fn a_tenant_whose_own_places_are_taken_is_answered_503_and_others_are_served() {
    let house = house().await;
    let cluster = TestCluster::private().await;
    house.register("further", &cluster).await;
    let tenants = settle(&house, "further", 2, &["dedicated"]).await;
    let rows = house.rows("select role_name from tenants order by name").await;
    let role: String = rows[0].try_get(0).unwrap();
    let admin = cluster.admin("postgres").await;
    admin.run(&format!("alter role {role} connection limit 0")).await.unwrap();
    admin
        .run(&format!("select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'"))
        .await
        .unwrap();
    for _ in 0..3 {
        let seen = tenants[0].get(&tenants[0].file_path()).await.unwrap();
        assert_eq!((seen.status, seen.wrong(&tenants[0].mark)), (503, None), "{seen:?}");
        report(&format!("no place for its login: refused after {:?}", seen.took));
        let seen = tenants[1].get(&tenants[1].file_path()).await.unwrap();
        assert_eq!(seen.status, 200, "{seen:?}");
    }
    // Others have most of them: what is left is shared.
    admin.run(&format!("alter role {role} connection limit 2")).await.unwrap();
    served_again(&tenants, "has two places").await;
    let callers = (0..24).map(|_| async { tenants[0].get(&tenants[0].file_path()).await.unwrap().status });
    let statuses = futures::future::join_all(callers).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    admin.run(&format!("alter role {role} connection limit -1")).await.unwrap();
    served_again(&tenants, "has its places again").await;
}
