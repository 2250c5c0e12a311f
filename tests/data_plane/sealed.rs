//! Contents that are encrypted before they are stored.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rowhouse_settings::Encryption;
use rowhouse_testkit::{Answer, Given, TestHouse};
use serde_json::json;

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

/// The tenant's keys, the newest first: number and contents of each.
async fn keys(given: &Given) -> Vec<(i64, i64)> {
    let listed = given.data.get("/v1/content-keys").await.expect(200).json();
    let items = listed["items"].as_array().unwrap();
    items.iter().map(|key| (key["number"].as_i64().unwrap(), key["contents"].as_i64().unwrap())).collect()
}

async fn rotate(given: &Given) -> serde_json::Value {
    let begun = given.data.post("/v1/content-keys", &json!({})).await.expect(202);
    super::trees::ended(given, begun.header("location")).await
}

#[tokio::test]
async fn a_new_key_on_demand_seals_anew_what_there_is_and_the_old_one_is_forgotten() {
    let (house, given) = sealing(Duration::from_hours(24)).await;
    let long = TEXT.repeat(20_000);
    let (short_file, long_file) = (given.upload("short.txt", TEXT).await, given.upload("long.txt", long.clone()).await);
    let before: HashSet<Vec<u8>> = house.object_bytes().into_iter().collect();
    assert_eq!(keys(&given).await, [(1, 2)]);
    let job = rotate(&given).await;
    assert_eq!((&job["kind"], &job["done"], &job["total"]), (&json!("reseal_contents"), &json!(2), &json!(2)), "{job}");
    assert_eq!(keys(&given).await, [(2, 2), (1, 0)]);
    assert_eq!(content(&given, &short_file).await.expect(200).bytes, TEXT.as_bytes());
    assert_eq!(content(&given, &long_file).await.expect(200).bytes, long.as_bytes());
    given.upload("later.txt", "later").await;
    assert_eq!(keys(&given).await, [(2, 3), (1, 0)]);

    // The old objects stay for those who are reading them, and then go; the old key goes when no upload can need it any more.
    assert_eq!(house.stored_objects(), 5);
    let inside = house.inside(&given).await;
    inside.run("update upload_intents set expires_at = now() where state = 'abandoned'").await.unwrap();
    house.sql(&super::trash::mark(&given)).await;
    house.expect_stored_objects(3).await;
    assert!(house.object_bytes().iter().all(|object| !before.contains(object)), "an object is as it was");
    assert_eq!(keys(&given).await.len(), 2, "an upload may be under way that began with the old key");
    inside.run("update content_keys set created_at = now() - interval '8 days'").await.unwrap();
    house.sql(&super::trash::mark(&given)).await;
    let begun = Instant::now();
    while keys(&given).await != [(2, 3)] {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", keys(&given).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(content(&given, &long_file).await.expect(200).bytes, long.as_bytes());
    house.expect_no_differences().await;
}

#[tokio::test]
async fn what_is_damaged_keeps_its_key_and_what_is_not_gets_the_new_one() {
    let (house, given) = sealing(Duration::from_hours(24)).await;
    let file = given.upload("damaged.txt", TEXT).await;
    house.change_objects(|bytes| bytes[3] ^= 1);
    let sound = given.upload("sound.txt", "sound").await;
    let job = rotate(&given).await;
    assert_eq!((&job["done"], &job["total"]), (&json!(1), &json!(2)), "{job}");
    assert_eq!(keys(&given).await, [(2, 1), (1, 1)]);
    assert_eq!(content(&given, &sound).await.expect(200).bytes, b"sound");
    let request = given.data.request(reqwest::Method::GET, &format!("/v1/files/{file}/content"));
    let body = async { request.send().await?.error_for_status()?.bytes().await };
    assert!(body.await.is_err(), "it was not made to look sound");
    // What was begun of its copy is swept.
    house.sql(&super::trash::mark(&given)).await;
    house.expect_stored_objects(3).await;
}

#[tokio::test]
async fn what_was_stored_in_the_clear_is_sealed_by_a_rotation() {
    let house = crate::house_with(|settings| {
        settings.blobs.encryption = Encryption::Off;
        // It would come to the job again and again, and leave it to the other.
        settings.work.poll = Duration::from_secs(3600);
    })
    .await;
    let given = house.tenant().await;
    let file = given.upload("clear.txt", TEXT).await;
    given.data.post("/v1/content-keys", &json!({})).await.problem(409, "invalid_transition");
    assert_eq!(keys(&given).await, []);
    let process = house.data_plane_process("blobs.encryption = \"on\"\n").await;
    let sealing = process.client.with_key(given.data.key());
    let begun = sealing.post("/v1/content-keys", &json!({})).await.expect(202);
    let job = super::trees::ended(&given, begun.header("location")).await;
    assert_eq!((&job["state"], &job["done"]), (&json!("done"), &json!(1)), "{job}");
    assert_eq!(keys(&given).await, [(1, 1)]);
    let in_the_clear = house.object_bytes().iter().filter(|object| object.starts_with(TEXT.as_bytes())).count();
    assert_eq!((in_the_clear, house.stored_objects()), (1, 2), "the old object stays for an hour");
    assert_eq!(content(&given, &file).await.expect(200).bytes, TEXT.as_bytes());
}
