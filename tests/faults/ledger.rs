//! What is counted as stored while control planes die: deleting, restoring and purging a tenant moves the figures and the logs
//! of its organization once.

use std::time::Duration;

use rowhouse_testkit::TestHouse;
use serde_json::json;

use crate::house::{ask, idle_house, organization, reached, wish};

const WORDS: &str = "eleven byte";

/// The organization uses what so many tenants have, and the logs say so, too.
async fn expect_stored(house: &TestHouse, tenants: usize) {
    let bytes = i64::try_from(tenants * WORDS.len()).unwrap();
    house.expect_figure("select sum(used_storage)::bigint from organizations", bytes).await;
    house.expect_figure("select coalesce(sum(used_storage), 0)::bigint from tenants", bytes).await;
    for log in ["tenant_usage_logs", "org_usage_logs"] {
        let sum = format!("select coalesce(sum(quantity), 0)::bigint from {log} where event_type = 'storage'");
        house.expect_figure(&sum, bytes).await;
    }
    house.expect_figure("select sum(reserved_storage)::bigint from organizations", 0).await;
}

#[tokio::test]
async fn a_purge_takes_its_tenants_storage_off_once_however_often_it_dies() {
    let house = idle_house().await;
    let organization = organization(&house).await;
    let worker = house.control_plane_process("");
    let mut tenants = Vec::new();
    for (number, isolation) in
        ["dedicated", "schema", "shared", "dedicated", "schema", "shared"].into_iter().enumerate()
    {
        tenants.push(wish(&house, &organization, &format!("tenant {number}"), isolation).await);
    }
    reached(&house, "active", tenants.len()).await;
    for tenant in &tenants {
        let data = house.tenant_key(tenant, &["manage_workspaces", "read_files", "write_files"]).await;
        let workspace = data.post("/v1/workspaces", &json!({"name": "w"})).await.expect(201).text("id");
        let _ = data.upload(&format!("/v1/files?workspace_id={workspace}&name=a.txt"), WORDS).await.expect(201);
    }
    expect_stored(&house, tenants.len()).await;
    for tenant in &tenants[1..] {
        let _ = house.admin.delete(&format!("/v1/tenants/{tenant}")).await.expect(204);
    }
    reached(&house, "deleted", tenants.len() - 1).await;
    expect_stored(&house, tenants.len()).await;
    worker.kill().await;
    for tenant in &tenants[1..] {
        let name = house.admin.get(&format!("/v1/tenants/{tenant}")).await.expect(200).text("name");
        let _ = ask(&house, &format!("/v1/tenants/{tenant}/purge"), &json!({"name": name})).await;
    }
    // At a named moment, and wherever each happens to be after a while.
    for moment in ["tenant_purge.objects.ran", "tenant_purge.tombstone.ran", "tenant_purge.end.recorded"] {
        house.control_plane_process(&format!("{moment}=return")).dies(moment).await;
    }
    for milliseconds in [300, 700] {
        let worker = house.control_plane_process("");
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        worker.kill().await;
    }
    let worker = house.control_plane_process("");
    reached(&house, "purged", tenants.len() - 1).await;
    expect_stored(&house, 1).await;
    worker.kill().await;
}
