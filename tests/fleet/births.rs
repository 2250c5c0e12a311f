//! Which version new tenants are born at while the fleet is, or goes, somewhere else than the newest.

use std::time::Duration;

use rowhouse_testkit::TestHouse;
use serde_json::json;

use crate::served::{comes_up, is_cut_off};
use crate::{NEW, OLD, eventually, go, house, house_with, look, make, number_in, start, until};

/// One more tenant in each placement is born at a version, each in a database that is made now.
async fn born(house: &TestHouse, version: i64) -> Vec<String> {
    let organization = house.organization().await;
    let mut tenants = Vec::new();
    for isolation in ["dedicated", "schema", "shared"] {
        let tenant = make(house, &organization, isolation, 1).await.remove(0);
        assert_eq!(look(house, &tenant).await, (version == NEW, version), "{isolation}");
        tenants.push(tenant);
    }
    tenants
}

/// A house where each tenant in a group has one to itself.
async fn house_of_small_groups() -> TestHouse {
    house_with(|settings| {
        settings.tenancy.group_size = 1;
        settings.tenancy.shared_size = 1;
    })
    .await
}

#[tokio::test]
async fn after_a_run_back_tenants_are_born_where_it_went_and_a_run_up_misses_none() {
    let house = house_of_small_groups().await;
    let mut tenants = born(&house, NEW).await;
    go(&house, "down", OLD).await;
    tenants.extend(born(&house, OLD).await);
    let template = format!("select count(*) from templates where schema_version = {OLD}");
    assert_eq!(number_in(&house, &template).await, 1);
    assert_eq!(go(&house, "up", NEW).await["counts"]["done"], 6);
    tenants.extend(born(&house, NEW).await);
    for tenant in &tenants {
        assert_eq!(look(&house, tenant).await, (true, NEW));
    }
    let behind = format!("select count(*) from tenants where schema_version <> {NEW}");
    assert_eq!(number_in(&house, &behind).await, 0);
    house.expect_no_differences().await;
}

#[tokio::test]
async fn a_run_that_goes_only_so_far_has_tenants_born_there_and_neither_a_trial_nor_a_part_of_the_fleet_does() {
    let house = house_of_small_groups().await;
    let organization = house.organization().await;
    make(&house, &organization, "schema", 1).await;
    go(&house, "down", OLD - 1).await;
    go(&house, "up", OLD).await;
    born(&house, OLD).await;
    let of_a_part = json!({"where": {"organization_id": organization}, "to": NEW});
    let run = start(&house, of_a_part).await;
    until(&house, &run, "done").await;
    let run = start(&house, json!({"dry_run": "clone", "to": NEW})).await;
    until(&house, &run, "done").await;
    born(&house, OLD).await;
}

#[tokio::test]
async fn a_run_counts_until_it_is_cancelled() {
    let house = house_of_small_groups().await;
    make(&house, &house.organization().await, "schema", 2).await;
    go(&house, "down", OLD).await;
    // One canary, watched for longer than this takes.
    let run = start(&house, json!({"soak_seconds": 3600})).await;
    let done = async || house.admin.get(&run).await.expect(200).json()["counts"]["done"] == 1;
    eventually(done, "the canary is not migrated").await;
    born(&house, NEW).await;
    let _ = house.admin.post(&format!("{run}/pause"), &json!({})).await.expect(200);
    born(&house, NEW).await;
    let _ = house.admin.post(&format!("{run}/cancel"), &json!({})).await.expect(200);
    born(&house, OLD).await;
}

#[tokio::test]
async fn none_is_born_where_a_data_plane_that_is_up_would_refuse_it_and_the_next_run_misses_none() {
    let house = house_of_small_groups().await;
    // Also where there was no run.
    comes_up(&house, "older", OLD - 1, OLD).await;
    born(&house, OLD).await;
    is_cut_off(&house, "older").await;
    assert_eq!(go(&house, "up", NEW).await["counts"]["done"], 3);
    born(&house, NEW).await;
    // After one, too: they are behind then, and brought on by the next.
    comes_up(&house, "older", OLD - 1, OLD).await;
    let tenants = born(&house, OLD).await;
    is_cut_off(&house, "older").await;
    assert_eq!(go(&house, "up", NEW).await["counts"]["done"], 3);
    for tenant in &tenants {
        assert_eq!(look(&house, tenant).await, (true, NEW));
    }
    // Whoever serves only what is newer changes nothing, and where no version suits all it is the fleet's.
    comes_up(&house, "newer", NEW + 1, NEW + 2).await;
    comes_up(&house, "older", OLD - 1, OLD).await;
    born(&house, NEW).await;
}

#[tokio::test]
async fn a_run_that_ignores_what_is_served_says_where_tenants_are_born() {
    let house = house_of_small_groups().await;
    comes_up(&house, "older", OLD - 1, OLD).await;
    born(&house, OLD).await;
    let run = start(&house, json!({"to": NEW, "ignore_served_versions": true})).await;
    assert_eq!(until(&house, &run, "done").await["counts"]["done"], 3);
    born(&house, NEW).await;
}

#[tokio::test]
async fn a_run_back_waits_for_a_schema_whose_version_was_decided_before_it() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "schema", 2).await;
    let id = tenants[1].parse::<rowhouse_domain::TenantId>().unwrap().as_uuid();
    // As while it is being verified.
    let being_made = format!(
        "insert into operations (kind, subject_kind, subject_id, tenant_id, run_at)
            values ('tenant_provision', 'tenant', '{id}', '{id}', now() + interval '1 hour');
        update tenants set status = 'provisioning' where id = '{id}'"
    );
    house.sql(&being_made).await;
    let run = start(&house, json!({"direction": "down", "to": OLD})).await;
    let seen = async || house.admin.get(&run).await.expect(200).json();
    eventually(async || seen().await["counts"]["done"] == 1, "the other one is not migrated").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(seen().await["state"], "running", "it is not there yet");
    let made = format!(
        "update tenants set status = 'active' where id = '{id}';
        delete from operations where subject_id = '{id}' and state = 'queued'"
    );
    house.sql(&made).await;
    assert_eq!(until(&house, &run, "done").await["counts"]["done"], 2);
    for tenant in &tenants {
        assert_eq!(look(&house, tenant).await, (false, OLD));
    }
}
