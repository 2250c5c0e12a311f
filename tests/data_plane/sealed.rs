//! Contents that are encrypted before they are stored.

use std::time::Duration;

use rowhouse_settings::Encryption;
use rowhouse_testkit::{Answer, Given, TestHouse};

use super::search::search;

const TEXT: &str = "the walrus and the carpenter were walking close at hand";

async fn sealing(age: Duration) -> (TestHouse, Given) {
    let house = crate::house_with(|settings| {
        settings.blobs.encryption = Encryption::On;
        settings.blobs.content_key_age = age;
    })
    .await;
    let given = house.tenant().await;
    (house, given)
}

async fn content(given: &Given, file: &str) -> Answer {
    given.data.get(&format!("/v1/files/{file}/content")).await
}

async fn count(house: &TestHouse, given: &Given, sql: &str) -> i64 {
    house.inside(given).await.query(sql, &[]).await.unwrap()[0].try_get(0).unwrap()
}

#[tokio::test]
async fn what_is_stored_says_nothing_and_is_read_searched_and_shared_as_ever() {
    let (house, given) = sealing(Duration::from_hours(24)).await;
    let long = TEXT.repeat(20_000);
    let (short_file, long_file) = (given.upload("short.txt", TEXT).await, given.upload("long.txt", long.clone()).await);
    given.upload("again.txt", TEXT).await;
    assert_eq!(house.stored_objects(), 2, "equal contents are stored once");
    for object in house.object_bytes() {
        assert!(!object.windows(6).any(|part| part == b"walrus"), "an object shows its content");
    }
    assert_eq!(content(&given, &short_file).await.expect(200).bytes, TEXT.as_bytes());
    assert_eq!(content(&given, &long_file).await.expect(200).bytes, long.as_bytes());
    for (from, to) in [(0, 0), (65_530, 65_540), (131_072, 400_000), (long.len() - 5, long.len() - 1)] {
        let request = given.data.request(reqwest::Method::GET, &format!("/v1/files/{long_file}/content"));
        let part = Answer::of(request.header("range", format!("bytes={from}-{to}"))).await.expect(206);
        assert_eq!(part.bytes, &long.as_bytes()[from..=to], "{from}-{to}");
    }
    let hits = search(&given, "q=carpenter&mode=text&limit=1").await;
    assert!(hits[0]["snippet"].as_str().unwrap().contains("walrus"), "{hits:?}");
    assert_eq!(count(&house, &given, "select count(*) from content_keys").await, 1);
}

#[tokio::test]
async fn a_new_key_is_taken_when_the_last_is_old_and_what_the_old_one_sealed_stays_readable() {
    let (house, given) = sealing(Duration::from_millis(1)).await;
    let first = given.upload("first.txt", TEXT).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = given.upload("second.txt", format!("{TEXT}, again")).await;
    assert_eq!(count(&house, &given, "select count(distinct content_key_id) from blobs").await, 2);
    assert_eq!(content(&given, &first).await.expect(200).bytes, TEXT.as_bytes());
    assert!(content(&given, &second).await.expect(200).bytes.ends_with(b"again"));
}

#[tokio::test]
async fn uploads_at_once_into_a_new_tenant_are_all_readable() {
    let (house, given) = sealing(Duration::from_hours(24)).await;
    let uploads = (0..8).map(|number| {
        let given = &given;
        async move { given.upload(&format!("{number}.txt"), format!("{TEXT} {number}")).await }
    });
    let files = futures::future::join_all(uploads).await;
    // Each may have made a key before it saw another's.
    assert!(count(&house, &given, "select count(distinct content_key_id) from blobs").await >= 1);
    for file in files {
        let _ = content(&given, &file).await.expect(200);
    }
}

#[tokio::test]
async fn whoever_destroys_the_key_has_erased_the_contents() {
    let (house, given) = sealing(Duration::from_hours(24)).await;
    let file = given.upload("gone.txt", TEXT).await;
    let inside = house.inside(&given).await;
    // As a backup of the objects without the row would be: another key under the same id opens nothing.
    inside.run("update content_keys set sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1)").await.unwrap();
    content(&given, &file).await.problem(500, "internal");
}

#[tokio::test]
async fn an_object_that_was_changed_is_never_sent() {
    let (house, given) = sealing(Duration::from_hours(24)).await;
    let file = given.upload("changed.txt", TEXT).await;
    house.change_objects(|bytes| bytes[3] ^= 1);
    let request = given.data.request(reqwest::Method::GET, &format!("/v1/files/{file}/content"));
    let body = async { request.send().await?.error_for_status()?.bytes().await };
    assert!(body.await.is_err(), "a changed content came as if it were whole");
}
