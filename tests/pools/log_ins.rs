//! Log-ins that a server begins and does not complete.

use std::time::{Duration, Instant};

use rowhouse_testkit::TestCluster;

use crate::estate::{house_with, report, served_again, settle};
use crate::watch::{Watch, expect_connections};

const FEW: usize = 4;
const WHILE: Duration = Duration::from_secs(8);
/// Server processes that wait for a lock; they count as sessions as soon as they have it.
const STUCK: &str = "select count(distinct pid) from pg_locks where not granted";

/// Whatever a process reads of its login's settings comes after the password, and before it says that it is ready.
const HOLD: &str = "begin; lock table pg_db_role_setting in access exclusive mode";

#[tokio::test]
async fn what_the_server_may_still_complete_keeps_its_place() {
    let house = house_with(|settings| {
        settings.pools.cluster_budget = FEW;
        settings.work.poll = Duration::from_secs(3600);
    })
    .await;
    let cluster = TestCluster::private().await;
    house.register("further", &cluster).await;
    let tenants = settle(&house, "further", 6, &["dedicated"]).await;
    expect_connections(&cluster, "true", 0, "all are cold").await;
    let (holder, counter) = (cluster.admin("postgres").await, cluster.admin("postgres").await);
    let watch = Watch::begin(&cluster);
    while watch.has_not_counted() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    holder.run(HOLD).await.unwrap();
    let (begun, mut most) = (Instant::now(), 0);
    while begun.elapsed() < WHILE {
        let all = futures::future::join_all(tenants.iter().map(|tenant| async {
            let seen = tenant.get(&tenant.file_path()).await.expect("an answer");
            assert_eq!((seen.status, seen.wrong(&tenant.mark)), (503, None), "{seen:?}");
        }));
        let pause = tokio::time::sleep(Duration::from_millis(100));
        let _ = tokio::join!(all, pause);
        let rows = counter.query(STUCK, &[]).await.unwrap();
        most = most.max(usize::try_from(rows[0].try_get::<_, i64>(0).unwrap()).unwrap());
    }
    report(&format!("log-ins: the server was at {most} of {FEW} at once"));
    assert!(most > 1, "the server was to be at some of them");
    assert!(most <= FEW, "the server was at {most} of them, and {FEW} there may be");
    holder.run("rollback").await.unwrap();
    served_again(&tenants, "log-ins").await;
    assert!(watch.most() <= FEW, "more connections than the budget");
}
