//! Contents that a disk has lost or altered are found, named, and replaced by the same bytes.

use std::time::{Duration, Instant};

use rowhouse_testkit::{Given, TestHouse};

/// Everything is due, at once.
const EAGER: &str = "scrub = { every = \"1ms\", bytes_per_second = 1073741824 }\n";
/// How long a process may take to have read everything.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is known of the contents, by size.
async fn known(house: &TestHouse, given: &Given) -> Vec<(i64, Option<String>)> {
    let rows = house.tenant_rows(given, "select size, damage from blobs order by size").await;
    rows.iter().map(|row| (row.try_get("size").unwrap(), row.try_get("damage").unwrap())).collect()
}

async fn expect_known(house: &TestHouse, given: &Given, expected: &[(i64, Option<&str>)]) {
    let begun = Instant::now();
    loop {
        let known = known(house, given).await;
        if known.iter().map(|(size, damage)| (*size, damage.as_deref())).eq(expected.iter().copied()) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{known:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_was_lost_or_altered_is_found_and_the_same_bytes_heal_it() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let contents = ["\0a", "\0lost", "\0altered"];
    let mut files = Vec::new();
    for content in contents {
        files.push(given.upload(&format!("{}.bin", content.len()), content).await);
    }
    house.lose_objects_that(|bytes| bytes == b"\0lost");
    house.change_objects(|bytes| {
        if bytes == b"\0altered" {
            bytes[3] ^= 1;
        }
    });
    let process = house.data_plane_process(EAGER).await;
    expect_known(&house, &given, &[(2, None), (5, Some("missing")), (8, Some("altered"))]).await;
    drop(process);
    let mut found: Vec<String> = house
        .differences(false)
        .await
        .iter()
        .map(|finding| format!("{} {}", finding["check"].as_str().unwrap(), finding["detail"].as_str().unwrap()))
        .collect();
    found.sort();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("contents.altered") && found[0].contains(&files[2]), "{found:?}");
    assert!(found[1].starts_with("contents.missing") && found[1].contains(&files[1]), "{found:?}");

    for (content, file) in contents.iter().zip(&files) {
        let _ = given.upload(&format!("{}-again.bin", content.len()), *content).await;
        let path = format!("/v1/files/{file}/content");
        assert_eq!(given.data.get(&path).await.expect(200).bytes, content.as_bytes());
    }
    expect_known(&house, &given, &[(2, None), (5, None), (8, None)]).await;
    // What was left of the altered one is swept.
    house.expect_stored_objects(3).await;
    house.expect_no_differences().await;
}

#[tokio::test]
async fn what_comes_back_is_sound_again() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let _ = given.upload("a.bin", "\0a").await;
    let swap = |from: &'static [u8], to: &'static [u8]| {
        house.change_objects(move |bytes| {
            assert_eq!(bytes, from);
            *bytes = to.to_vec();
        });
    };
    swap(b"\0a", b"\0b");
    let process = house.data_plane_process(EAGER).await;
    expect_known(&house, &given, &[(2, Some("altered"))]).await;
    drop(process);
    swap(b"\0b", b"\0a");
    // Nothing else is due for long.
    let _process = house.data_plane_process("scrub.every = \"30days\"\n").await;
    expect_known(&house, &given, &[(2, None)]).await;
}

#[tokio::test]
async fn what_can_not_be_read_stands_in_no_others_way() {
    let house = crate::house().await;
    let given = house.tenant().await;
    for number in 0..5 {
        let _ = given.upload(&format!("{number}.bin"), format!("\0{}", "a".repeat(number))).await;
    }
    // More than are claimed at once, and first in turn: each is a link to itself, which says nothing of what it was.
    house.change_objects(|bytes| {
        if bytes.len() == 5 {
            bytes[0] ^= 1;
        }
    });
    house.replace_objects_that(|bytes| bytes.len() < 5, |object| std::os::unix::fs::symlink(object, object).unwrap());
    let _process = house.data_plane_process(EAGER).await;
    expect_known(&house, &given, &[(1, None), (2, None), (3, None), (4, None), (5, Some("altered"))]).await;
}

#[tokio::test]
async fn a_key_that_does_not_open_is_a_damage() {
    let house = crate::house_with(|settings| settings.blobs.encryption = rowhouse_settings::Encryption::On).await;
    let given = house.tenant().await;
    let _ = given.upload("a.bin", "\0a").await;
    house.inside(&given).await.run("update content_keys set sealed = sealed || '\\x00'").await.unwrap();
    let _process = house.data_plane_process(EAGER).await;
    expect_known(&house, &given, &[(2, Some("unreadable"))]).await;
}
