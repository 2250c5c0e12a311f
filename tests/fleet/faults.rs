//! What can be in a run's way: one bad tenant of many, a lock that is never given back, an edited migration, another operator,
//! a full disk.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::StreamExt;
use rowhouse_testkit::{SmallDisk, TestCluster, TestHouse, open_to_all};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::deaths::{all_at, slow_folder};
use crate::verify::{meddle, sweep};
use crate::workers::occupy;
use crate::{NEW, OLD, go, house, house_with, look, make, number_in, rowhouse, start, until};

/// Makes tenants in schemas of group databases; the oldest first, as a run takes them.
async fn many(house: &TestHouse, organization: &str, count: usize) -> Vec<String> {
    crowd(house, organization, &[("schema", count)]).await
}

/// Makes so many tenants of each isolation, a few at a time; the oldest first.
pub(crate) async fn crowd(house: &TestHouse, organization: &str, counts: &[(&str, usize)]) -> Vec<String> {
    let room = json!({"max_tenants": 1000});
    let _ = house.admin.patch(&format!("/v1/organizations/{organization}"), &room).await.expect(200);
    let path = format!("/v1/organizations/{organization}/tenants");
    let isolations = counts.iter().flat_map(|(isolation, count)| std::iter::repeat_n(*isolation, *count));
    let made = futures::stream::iter(isolations.enumerate())
        .map(|(number, isolation)| {
            let (admin, path) = (house.admin.clone(), path.clone());
            async move {
                let body = json!({"name": format!("tenant {number}"), "isolation": isolation});
                let _ = admin.post(&path, &body).await.expect(201);
            }
        })
        .buffer_unordered(4);
    made.collect::<Vec<()>>().await;
    let rows = house.rows("select id from tenants order by extract(epoch from created_at)::bigint, id").await;
    let id = |row: &tokio_postgres::Row| rowhouse_domain::TenantId::from_uuid(row.try_get(0).unwrap()).to_string();
    rows.iter().map(id).collect()
}

async fn failures(house: &TestHouse, run: &str) -> Vec<Value> {
    let failed = house.admin.get(&format!("{run}/schemas?state=failed")).await.expect(200).json();
    failed["items"].as_array().unwrap().clone()
}

/// Resumes a run that halted, once what was in its way is gone: it finishes, and all is as if nothing had happened.
async fn resumed(house: &TestHouse, run: &str, tenants: &[String]) {
    let _ = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200);
    let done = until(house, run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["failed"]), (&json!(tenants.len()), &json!(0)), "{done}");
    for tenant in tenants {
        assert_eq!(look(house, tenant).await, (true, NEW));
    }
    house.expect_no_differences().await;
    let seen = sweep(house).await;
    assert_eq!(seen["same"], seen["schemas"], "{seen}");
}

#[tokio::test]
async fn a_run_of_a_hundred_halts_at_the_thirty_seventh_and_goes_on_when_it_is_mended() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = many(&house, &organization, 100).await;
    go(&house, "down", OLD).await;
    meddle(&house, &tenants[36], "alter table workspaces add column motto text").await;
    let body = json!({"parallel": 1, "max_failures": "1", "canary": "0", "order": "oldest"});
    let run = start(&house, body).await;
    let halted = until(&house, &run, "halted").await;
    let counts = &halted["counts"];
    assert_eq!((&counts["done"], &counts["failed"], &counts["left"]), (&json!(36), &json!(1), &json!(63)), "{halted}");
    let failed = failures(&house, &run).await;
    assert_eq!((failed.len(), &failed[0]["tenant_id"]), (1, &json!(tenants[36])), "{failed:?}");
    for (number, tenant) in tenants.iter().enumerate() {
        let expected = if number < 36 { (true, NEW) } else { (number == 36, OLD) };
        assert_eq!(look(&house, tenant).await, expected, "tenant {number}");
    }
    meddle(&house, &tenants[36], "alter table workspaces drop column motto").await;
    let _ = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200);
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["failed"]), (&json!(100), &json!(0)), "{done}");
    assert_eq!(number_in(&house, &format!("select count(*) from tenants where schema_version = {NEW}")).await, 100);
    house.expect_no_differences().await;
    let seen = sweep(&house).await;
    assert_eq!(seen["same"], 100, "{seen}");
}

#[tokio::test]
async fn a_lock_that_is_held_for_longer_than_a_run_waits_fails_its_tenant_alone() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 3).await;
    go(&house, "down", OLD).await;
    let occupied = occupy(&house, &tenants[1]).await;
    let run = start(&house, json!({"canary": "0", "max_failures": "1", "lock_timeout_ms": 50})).await;
    let halted = until(&house, &run, "halted").await;
    assert_eq!((&halted["counts"]["done"], &halted["counts"]["failed"]), (&json!(2), &json!(1)), "{halted}");
    let failed = failures(&house, &run).await;
    assert_eq!((&failed[0]["tenant_id"], &failed[0]["sqlstate"]), (&json!(tenants[1]), &json!("55P03")), "{failed:?}");
    // It says who is to be asked.
    let said = failed[0]["error"].as_str().unwrap();
    assert!(said.contains("8 times") && said.contains("held by") && said.contains("rowhouse_admin"), "{said}");
    assert_eq!(look(&house, &tenants[1]).await, (false, OLD));
    drop(occupied);
    resumed(&house, &run, &tenants).await;
}

#[tokio::test]
async fn a_statement_that_takes_longer_than_a_run_lets_it_fails_its_tenant_alone() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 2).await;
    go(&house, "down", OLD).await;
    // It waits for longer than it may take.
    let occupied = occupy(&house, &tenants[0]).await;
    let limits = [
        "run",
        "--canary",
        "0",
        "--max-failures",
        "1",
        "--statement-timeout",
        "300",
        "--lock-timeout",
        "20000",
        "--json",
    ];
    let (code, said, errors) = rowhouse(&house, &limits).await;
    let run: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &run["counts"]["done"], &run["counts"]["failed"]), (3, &json!(1), &json!(1)), "{run} {errors}");
    let run = format!("/v1/migration-runs/{}", run["id"].as_str().unwrap());
    let failed = failures(&house, &run).await;
    assert_eq!((&failed[0]["tenant_id"], &failed[0]["sqlstate"]), (&json!(tenants[0]), &json!("57014")), "{failed:?}");
    drop(occupied);
    resumed(&house, &run, &tenants).await;
}

#[tokio::test]
async fn a_migration_that_was_edited_after_it_was_applied_is_refused_with_both_checksums() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 2).await;
    go(&house, "down", OLD).await;
    let sql = "select checksum from refinery_schema_history where version = 3";
    let checksum: String =
        crate::inside(&house, &tenants[0]).await.query(sql, &[]).await.unwrap()[0].try_get(0).unwrap();
    // As if the file had been another one when it was applied.
    meddle(&house, &tenants[0], "update refinery_schema_history set checksum = '1234567' where version = 3").await;
    let run = start(&house, json!({"canary": "0", "max_failures": "1"})).await;
    let halted = until(&house, &run, "halted").await;
    assert_eq!((&halted["counts"]["done"], &halted["counts"]["failed"]), (&json!(1), &json!(1)), "{halted}");
    let failed = failures(&house, &run).await;
    let said = failed[0]["error"].as_str().unwrap();
    assert!(said.contains("V3__files") && said.contains("1234567") && said.contains(&checksum), "{said}");
    assert_eq!(look(&house, &tenants[0]).await, (false, OLD));
    let mended = format!("update refinery_schema_history set checksum = '{checksum}' where version = 3");
    meddle(&house, &tenants[0], &mended).await;
    resumed(&house, &run, &tenants).await;
}

#[tokio::test]
async fn of_operators_who_start_a_run_at_once_one_does_and_the_others_are_told_of_it() {
    let house = house_with(|settings| settings.migrations.parallel = 0).await;
    let organization = house.organization().await;
    let tenant = make(&house, &organization, "schema", 1).await.remove(0);
    crate::workers::back(&house).await;
    let mut last = String::new();
    for round in 0..5 {
        let body = json!({});
        let starts = (0..6).map(|_| house.admin.post("/v1/migration-runs", &body));
        let answers = futures::future::join_all(starts).await;
        let (begun, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!((begun.len(), refused.len()), (1, 5));
        let id = begun[0].text("id");
        for answer in refused {
            let refused = answer.problem(409, "migration_running");
            assert_eq!(refused["run_id"], json!(id), "{refused}");
            assert!(refused["detail"].as_str().unwrap().contains(&id), "{refused}");
        }
        last = format!("/v1/migration-runs/{id}");
        if round < 4 {
            let _ = house.admin.post(&format!("{last}/cancel"), &json!({})).await.expect(200);
        }
    }
    let runs = house.rows("select id from migration_runs where direction = 'up'").await;
    let ids: HashSet<uuid::Uuid> = runs.iter().map(|row| row.try_get(0).unwrap()).collect();
    assert_eq!(ids.len(), 5);
    let worker = house.migration_worker(&crate::folder(), 1);
    assert_eq!(until(&house, &last, "done").await["counts"]["done"], 1);
    assert_eq!(look(&house, &tenant).await, (true, NEW));
    worker.terminate().await;
    assert_eq!(worker.exit_code().await, Some(0));
    house.expect_no_differences().await;
}

#[tokio::test]
async fn a_disk_that_fills_up_half_way_fails_what_is_left_and_leaves_it_whole() {
    let house = house_with(|settings| settings.migrations.tenant_folder = slow_folder()).await;
    let organization = house.organization().await;
    let room = json!({"max_tenants": 50});
    let _ = house.admin.patch(&format!("/v1/organizations/{organization}"), &room).await.expect(200);
    let (disk, log) = (SmallDisk::mount(240), TempDir::new().unwrap());
    open_to_all(log.path());
    let cluster = TestCluster::private_in(&disk.path().join("cluster"), log.path()).await;
    house.register("small", &cluster).await;
    let mut tenants = Vec::new();
    for number in 0..5 {
        let body = json!({"name": format!("tenant {number}"), "cluster": "small"});
        let made = house.admin.post(&format!("/v1/organizations/{organization}/tenants"), &body).await.expect(201);
        tenants.push(made.text("id"));
    }
    go(&house, "down", NEW).await;
    let body = json!({"canary": "0", "parallel": 1, "order": "oldest", "max_failures": "1"});
    let run = start(&house, body).await;
    let begun = Instant::now();
    while house.admin.get(&run).await.expect(200).json()["counts"]["done"] == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "none is done");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    disk.fill();
    let halted = until(&house, &run, "halted").await;
    let failed = failures(&house, &run).await;
    assert_eq!((failed.len(), &failed[0]["sqlstate"]), (1, &json!("53100")), "{halted} {failed:?}");
    disk.free();
    let _ = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200);
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["failed"]), (&json!(5), &json!(0)), "{done}");
    all_at(&house, &cluster, &tenants, NEW + 2).await;
    house.expect_no_differences().await;
    let seen = sweep(&house).await;
    assert_eq!(seen["same"], 5, "{seen}");
    drop(cluster);
}
