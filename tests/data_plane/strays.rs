//! Objects that no row names: found, named, and removed where that is asked for.

use std::time::{Duration, Instant, SystemTime};

use rowhouse_testkit::{Given, TestHouse};
use serde_json::json;

const EAGER: &str = "scrub = { every = \"0s\", strays_every = \"100ms\", objects_per_second = 1_000_000 }\n";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn noted(house: &TestHouse, given: &Given) -> i64 {
    let count = "select count(*) from upload_intents where tenant_id = app_tenant_id() and state = 'stray'";
    house.tenant_rows(given, count).await[0].try_get(0).unwrap()
}

async fn until_noted(house: &TestHouse, given: &Given, count: i64) {
    let begun = Instant::now();
    while noted(house, given).await != count {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} are noted", noted(house, given).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn old_objects_that_no_row_names_are_named_and_removed_where_that_is_asked_for() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = given.upload("a.bin", "\0kept").await;
    let trashed = given.upload("b.bin", "\0trashed").await;
    let _ = given.data.delete(&format!("/v1/files/{trashed}")).await.expect(204);
    let tenant = given.tenant.parse::<rowhouse_domain::TenantId>().unwrap().as_uuid();
    let folder = house.blob_root().join(tenant.to_string());
    let object = |number: u128| folder.join(uuid::Uuid::from_u128(number).to_string());
    // Two that nothing names, one that an intent names, and one that is young.
    for number in 1..=4 {
        std::fs::write(object(number), "stray").unwrap();
    }
    let intent = format!(
        "insert into upload_intents (bucket, object_key, expires_at)
         values ('local', '{tenant}/{}', now() + interval '1 day') returning 1",
        uuid::Uuid::from_u128(3)
    );
    assert_eq!(house.tenant_rows(&given, &intent).await.len(), 1);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let age = if path == object(4) { DAY / 2 } else { DAY * 2 };
        let opened = std::fs::File::options().write(true).open(&path).unwrap();
        opened.set_modified(SystemTime::now() - age).unwrap();
    }
    let walker = house.data_plane_process(EAGER).await;
    until_noted(&house, &given, 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((noted(&house, &given).await, house.stored_objects()), (2, 6), "nothing but a note is made");
    let found = house.differences(false).await;
    assert_eq!((found.len(), &found[0]["check"]), (1, &json!("contents.stray")), "{found:#?}");
    assert!(found[0]["detail"].as_str().unwrap().contains("2 objects"), "{found:#?}");
    drop(walker);

    // One of them comes back to a row: it is nobody's to remove.
    let came_back = format!(
        "update blobs set object_key = '{tenant}/{}' where sha256 = (
             select checksum from files where id = (select file_id from file_versions order by created_at limit 1)) returning 1",
        uuid::Uuid::from_u128(1)
    );
    assert_eq!(house.tenant_rows(&given, &came_back).await.len(), 1);
    let repaired = house.differences(true).await;
    assert_eq!(repaired[0]["fixed"], true, "{repaired:#?}");
    house.sql(&super::trash::mark(&given)).await;
    house.expect_stored_objects(5).await;
    assert!(object(1).exists() && !object(2).exists() && object(3).exists() && object(4).exists());
    assert_eq!(given.data.get(&format!("/v1/files/{file}/content")).await.expect(200).bytes, b"stray");
    house.expect_no_differences().await;
}
