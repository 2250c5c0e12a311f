//! Schemas that are gone when a worker comes to them, or go while it is there.

use rowhouse_database::quote_ident;
use rowhouse_testkit::TestCluster;
use serde_json::json;

use crate::workers::{occupy, until_one_is_running, until_one_waits};
use crate::{NEW, OLD, go, house, look, make, number_in, place, start, until};

#[tokio::test]
async fn a_tenant_that_is_purged_under_a_workers_hands_is_passed_by() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 3).await;
    go(&house, "down", OLD).await;
    let occupied = occupy(&house, &tenants[0]).await;
    let body = json!({"parallel": 1, "max_failures": "1", "canary": "1", "lock_timeout_ms": 60_000});
    let run = start(&house, body).await;
    until_one_is_running(&house, &run).await;
    until_one_waits(&house, &tenants[0]).await;
    let path = format!("/v1/tenants/{}", tenants[0]);
    let _ = house.admin.delete(&path).await.expect(204);
    // As a purge goes on, whose worker is as quick as this: what it drops is gone at once.
    let id = tenants[0].parse::<rowhouse_domain::TenantId>().unwrap().as_uuid();
    let (database, _) = place(&house, &tenants[0]).await;
    house.sql(&format!("update tenants set purge_begun_at = now() where id = '{id}'")).await;
    let admin = TestCluster::get().admin("postgres").await;
    // The one that waits for the lock first: else it may get it from the one that holds it, and be done in time.
    let waiting =
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and wait_event_type = 'Lock'";
    assert_eq!(admin.query(waiting, &[&database]).await.unwrap().len(), 1, "the worker waits for the lock");
    admin.run(&format!("drop database {} with (force)", quote_ident(&database))).await.unwrap();
    drop(occupied);
    let done = until(&house, &run, "done").await;
    let counts = &done["counts"];
    assert_eq!((&counts["done"], &counts["skipped"], &counts["failed"]), (&json!(2), &json!(1), &json!(0)), "{done}");
    let skipped = house.admin.get(&format!("{run}/schemas?state=skipped")).await.expect(200).json();
    let said = skipped["items"][0]["error"].as_str().unwrap();
    assert!(said.contains("purged"), "{skipped}");
    // It was to be the canary, so another one went first.
    let canaries = "select count(*) from migration_run_schemas where phase = 'canary' and state = 'done'
        and run_id = (select id from migration_runs order by created_at desc limit 1)";
    assert_eq!(number_in(&house, canaries).await, 1);
    for tenant in &tenants[1..] {
        assert_eq!(look(&house, tenant).await, (true, NEW));
    }
    let name = house.admin.get(&path).await.expect(200).text("name");
    let _ = house.admin.post(&format!("{path}/purge"), &json!({"name": name})).await.expect(204);
    house.expect_no_differences().await;
}

#[tokio::test]
async fn what_is_missing_against_its_row_has_failed_and_the_doctor_is_named() {
    let house = house().await;
    let organization = house.organization().await;
    let dedicated = make(&house, &organization, "dedicated", 2).await;
    let in_schema = make(&house, &organization, "schema", 2).await;
    go(&house, "down", OLD).await;
    let (database, _) = place(&house, &dedicated[0]).await;
    // The services may have connections of their own to it.
    let dropped = format!("drop database {} with (force)", quote_ident(&database));
    TestCluster::get().admin("postgres").await.run(&dropped).await.unwrap();
    let (group, schema) = place(&house, &in_schema[0]).await;
    let dropped = format!("drop schema {} cascade", quote_ident(&schema));
    TestCluster::get().admin(&group).await.run(&dropped).await.unwrap();
    let run = start(&house, json!({"canary": "0", "max_failures": "2"})).await;
    let halted = until(&house, &run, "halted").await;
    assert_eq!(halted["counts"]["failed"], 2, "{halted}");
    let failed = house.admin.get(&format!("{run}/schemas?state=failed")).await.expect(200).json();
    for (tenant, sqlstate, gone) in [(&dedicated[0], json!("3D000"), &database), (&in_schema[0], json!(null), &schema)]
    {
        let one = failed["items"].as_array().unwrap().iter().find(|one| one["tenant_id"] == **tenant).unwrap();
        let said = one["error"].as_str().unwrap();
        assert!(said.contains("rowhouse doctor") && said.contains(gone.as_str()), "{one}");
        assert_eq!(one["sqlstate"], sqlstate, "{one}");
    }
    // Whoever has no other copy of their data gives them up, and the run finishes without them.
    for tenant in [&dedicated[0], &in_schema[0]] {
        let path = format!("/v1/tenants/{tenant}");
        let name = house.admin.get(&path).await.expect(200).text("name");
        let _ = house.admin.delete(&path).await.expect(204);
        let _ = house.admin.post(&format!("{path}/purge"), &json!({"name": name})).await.expect(204);
    }
    let _ = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200);
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["left"]), (&json!(2), &json!(0)), "{done}");
    house.expect_no_differences().await;
    for tenant in [&dedicated[1], &in_schema[1]] {
        assert_eq!(look(&house, tenant).await, (true, NEW));
    }
}
