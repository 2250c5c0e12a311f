//! The suite of the data plane once more, for tenants with a database of their own, through PgBouncer: in transaction mode
//! where it keeps named statements there, else in session mode.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

/// How the suite's tenants are kept apart.
const ISOLATION: rowhouse_domain::Isolation = rowhouse_domain::Isolation::Dedicated;
/// Whether PgBouncer stands before the suite's cluster.
const IS_POOLED: bool = true;

/// Migrations other than this build's own.
const MIGRATIONS: fn() -> std::path::PathBuf = std::path::PathBuf::new;

#[path = "suite.rs"]
mod suite;

use std::time::Duration;

use rowhouse_domain::Tier;
use rowhouse_testkit::{PgBouncer, TestCluster, TestHouse};
use suite::{house, house_with};

/// Else this suite would prove nothing.
#[tokio::test]
async fn tenants_are_reached_through_the_pooler_and_made_without_it() {
    let pgbouncer = PgBouncer::before(TestCluster::get()).await;
    for isolation in rowhouse_domain::Isolation::ALL {
        let pooler = pgbouncer.pooler();
        let house = TestHouse::start_with(|settings| {
            settings.tenancy.isolation_by_tier = Tier::ALL.iter().map(|tier| (*tier, *isolation)).collect();
            settings.pools.through = vec![pooler];
        })
        .await;
        let given = house.tenant().await;
        let file = given.upload("a.txt", "words").await;
        let read = given.data.get(&format!("/v1/files/{file}/content")).await.expect(200);
        assert_eq!(read.bytes, b"words");
    }
    let mut gone = pgbouncer.pooler();
    let house = TestHouse::start_with(|settings| {
        settings.pools.checkout_timeout = Duration::from_secs(1);
        settings.pools.connect_timeout = Duration::from_secs(1);
        gone.port = 1;
        settings.pools.through = vec![gone];
    })
    .await;
    let organization = house.organization().await;
    let path = format!("/v1/organizations/{organization}/tenants");
    let tenant = house.admin.post(&path, &serde_json::json!({"name": "acme"})).await.expect(201).text("id");
    let data = house.tenant_key(&tenant, &["read_files"]).await;
    data.get("/v1/workspaces").await.problem(503, "unavailable");
}
