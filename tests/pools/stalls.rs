//! PostgreSQL is there and says nothing.

use std::sync::Arc;
use std::time::Duration;

use rowhouse_testkit::TestCluster;

use crate::answers::Seen;
use crate::departures::{PATIENCE, RUNS, hold_folders};
use crate::estate::{BUDGET, DEADLINE, ISOLATIONS, Tenant, house, house_with, report, served_again, settle};
use crate::load::{Kind, Load};
use crate::watch::{Watch, expect_connections, expect_none_forgotten};

/// What a busy machine may take beyond a deadline.
const GRACE: Duration = Duration::from_secs(2);

/// A transfer has no deadline as a whole: each of its waits has one, for a connection and for a statement.
const WAITS: Duration = DEADLINE.saturating_mul(2);

fn expect_refused(tenant: &Tenant, what: &str, limit: Duration, seen: Option<Seen>) {
    let seen = seen.unwrap_or_else(|| panic!("{what} ({}) is not answered at all", tenant.isolation));
    assert!([503, 504].contains(&seen.status), "{what} ({}): {seen:?}", tenant.isolation);
    assert!(seen.took < limit + GRACE, "{what} ({}) came too late: {seen:?}", tenant.isolation);
    assert_eq!(seen.wrong(&tenant.mark), None);
}

/// Freezes the server under load, asks what `ask` asks of every tenant, and has it go on.
async fn freeze_and<F: Future<Output = ()>>(what: &str, ask: impl Fn(Arc<Vec<Tenant>>) -> F) {
    let house = house().await;
    let cluster = TestCluster::private().await;
    house.register("further", &cluster).await;
    let tenants = Arc::new(settle(&house, "further", 6, &ISOLATIONS).await);
    let watch = Watch::begin(&cluster);
    let load = Load::begin(&tenants, Kind { uploads: 0, ..Kind::default() });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let frozen = cluster.freeze();
    ask(Arc::clone(&tenants)).await;
    frozen.thaw();
    served_again(&tenants, what).await;
    let tally = load.end().await;
    tally.expect_no_complaints(what);
    assert_eq!(tally.unanswered, 0, "the data plane itself is well");
    report(&format!("{what}: the slowest answer of all was {:?}, the deadline is {DEADLINE:?}", tally.slowest));
    assert!(tally.slowest.0 < DEADLINE + GRACE, "an answer took {:?}", tally.slowest);
    let most = watch.most();
    assert!(most <= BUDGET, "{most} connections are more than the budget");
    expect_none_forgotten(&cluster).await;
}

#[tokio::test]
async fn while_postgres_is_stalled_questions_are_refused_by_their_deadline() {
    freeze_and("stalled", |tenants| async move {
        let asked = tenants.iter().map(|tenant| async move {
            let path = tenant.file_path();
            let (file, workspaces) = tokio::join!(tenant.get(&path), tenant.get("/v1/workspaces"));
            expect_refused(tenant, "a file", DEADLINE, file);
            expect_refused(tenant, "the workspaces", DEADLINE, workspaces);
        });
        futures::future::join_all(asked).await;
    })
    .await;
}

#[tokio::test]
async fn while_postgres_is_stalled_contents_are_refused_too() {
    freeze_and("stalled, contents", |tenants| async move {
        let asked = tenants.iter().map(|tenant| async move {
            let path = format!("{}/content", tenant.file_path());
            let upload = tenant.upload("stalled.txt", tenant.mark.clone());
            let (download, upload) = tokio::join!(tenant.get(&path), tenant.send(upload));
            expect_refused(tenant, "a download", WAITS, download);
            expect_refused(tenant, "an upload", WAITS, upload);
        });
        futures::future::join_all(asked).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_504_by_its_own_deadline() {
    let limit = Duration::from_secs(2);
    let house = house_with(|settings| {
        settings.data_plane.request_timeout = limit;
        // Whatever else could end it comes later.
        settings.pools.checkout_timeout = 4 * PATIENCE;
        settings.pools.statement_timeout = 4 * PATIENCE;
        // Its sweeps look at the same table, and would wait in a connection that is counted here.
        settings.work.poll = Duration::from_secs(3600);
    })
    .await;
    let cluster = TestCluster::private().await;
    house.register("further", &cluster).await;
    for tenant in &settle(&house, "further", 3, &ISOLATIONS).await {
        let held = hold_folders(&house, &cluster, tenant).await;
        let seen = tenant.get(&format!("/v1/folders?workspace_id={}", tenant.workspace)).await.expect("an answer");
        assert_eq!(seen.status, 504, "{}: {seen:?}", tenant.isolation);
        assert!(seen.took >= limit && seen.took < limit + GRACE, "{}: {seen:?}", tenant.isolation);
        expect_connections(&cluster, RUNS, 0, "its query ends with it").await;
        held.run("rollback").await.unwrap();
    }
}
