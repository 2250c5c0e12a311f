//! Histories of migrations that somebody has changed: seen in whichever row, not only in the newest.

use rowhouse_database::AdminConnection;
use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::{Value, json};

use crate::verify::{differing, sweep};
use crate::{house, make, place, rowhouse};

/// As the owner, with the schema first.
async fn inside(house: &TestHouse, tenant: &str) -> AdminConnection {
    let (database, schema) = place(house, tenant).await;
    let admin = TestCluster::get().admin(&database).await;
    admin.run(&format!("set search_path = {}", rowhouse_database::quote_ident(&schema))).await.unwrap();
    admin
}

async fn checksum(admin: &AdminConnection, version: i32) -> String {
    let sql = format!("select checksum from refinery_schema_history where version = {version}");
    admin.query(&sql, &[]).await.unwrap()[0].try_get(0).unwrap()
}

/// What the doctor says under a name: of whom, and what.
async fn examined(house: &TestHouse, check: &str) -> Vec<(String, String)> {
    let findings = house.differences(false).await;
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    let named = findings.iter().filter(|one| one["check"] == check);
    named.map(|one| (text(one, "subject"), text(one, "detail"))).collect()
}

#[tokio::test]
async fn a_history_that_was_changed_in_its_middle_is_seen_with_both_checksums() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "schema", 3).await;
    let shared = make(&house, &organization, "shared", 1).await.remove(0);
    // Twice: the second is a glance.
    for _ in 0..2 {
        let clean = sweep(&house).await;
        assert_eq!((&clean["same"], &clean["different"]), (&json!(4), &json!(0)), "{clean}");
    }
    let (edited, gapped, group) =
        (inside(&house, &tenants[0]).await, inside(&house, &tenants[1]).await, inside(&house, &shared).await);
    let (third, fourth) = (checksum(&edited, 3).await, checksum(&gapped, 4).await);
    edited.run("update refinery_schema_history set checksum = '4711' where version = 3").await.unwrap();
    gapped.run("create table kept as select * from refinery_schema_history where version = 4").await.unwrap();
    gapped.run("delete from refinery_schema_history where version = 4").await.unwrap();
    group.run("update refinery_schema_history set name = 'renamed' where version = 2").await.unwrap();

    let found = sweep(&house).await;
    assert_eq!((&found["same"], &found["different"]), (&json!(1), &json!(3)), "{found}");
    let of = |schemas: &[Value], tenant: &str| {
        let one = schemas.iter().find(|one| one["tenant_id"] == tenant).unwrap().clone();
        one["differences"].as_array().unwrap().iter().find(|one| one["kind"] == "migration").unwrap().clone()
    };
    let schemas = differing(&house).await;
    let one = of(&schemas, &tenants[0]);
    assert_eq!(
        (&one["name"], &one["expected"], &one["found"]),
        (&json!("V3"), &json!(format!("files, checksum {third}")), &json!("files, checksum 4711")),
        "{one}"
    );
    assert!(one["repair"].is_null() && one["by_hand"].as_str().unwrap().contains("who changed it"), "{one}");
    let one = of(&schemas, &tenants[1]);
    let expected = json!(format!("search, checksum {fourth}"));
    assert_eq!((&one["name"], &one["expected"], &one["found"]), (&json!("V4"), &expected, &json!(null)), "{one}");
    let (code, said, _) = rowhouse(&house, &["verify", "--where", &format!("tenant={}", tenants[0])]).await;
    assert!(code == 6 && said.contains(&third) && said.contains("4711"), "{code}: {said}");

    let said = examined(&house, "schema.history").await;
    let of =
        |tenant: &str| said.iter().find(|(subject, _)| subject == tenant).map(|(_, detail)| detail.clone()).unwrap();
    assert!(of(&tenants[0]).contains(&third) && of(&tenants[0]).contains("4711"), "{said:?}");
    assert!(of(&tenants[1]).contains("V4 is missing") && of(&tenants[1]).contains(&fourth), "{said:?}");
    let said = examined(&house, "group.history").await;
    assert!(said.len() == 1 && said[0].1.contains("renamed, checksum"), "{said:?}");

    edited.run(&format!("update refinery_schema_history set checksum = '{third}' where version = 3")).await.unwrap();
    gapped.run("insert into refinery_schema_history select * from kept; drop table kept").await.unwrap();
    group.run("update refinery_schema_history set name = 'workspaces' where version = 2").await.unwrap();
    let mended = sweep(&house).await;
    assert_eq!((&mended["same"], &mended["different"]), (&json!(4), &json!(0)), "{mended}");
    house.expect_no_differences().await;
}
