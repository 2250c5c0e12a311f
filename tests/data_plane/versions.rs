//! Versions: old ones made current again, deleted ones, and the rules for how many stay.

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_testkit::{Answer, Given, TestHouse};
use serde_json::json;

/// A file with these contents one after the other.
async fn file_with(given: &Given, contents: &[&'static str]) -> String {
    let file = given.upload("a.txt", contents[0]).await;
    for content in &contents[1..] {
        put(given, &file, content).await;
    }
    file
}

async fn put(given: &Given, file: &str, content: &'static str) {
    let put = given.data.request(Method::PUT, &format!("/v1/files/{file}/content")).body(content);
    let _ = Answer::of(put).await.expect(200);
}

async fn numbers(given: &Given, file: &str) -> Vec<i64> {
    let versions = given.data.get(&format!("/v1/files/{file}/versions")).await.expect(200).json();
    versions["items"].as_array().unwrap().iter().map(|version| version["version"].as_i64().unwrap()).collect()
}

/// Waits until these are left, and everybody is charged for just them.
async fn expect_left(house: &TestHouse, given: &Given, file: &str, expected: &[i64], bytes: i64) {
    let begun = Instant::now();
    while numbers(given, file).await != expected {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", numbers(given, file).await);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    expect_used(house, given, bytes).await;
}

async fn expect_used(house: &TestHouse, given: &Given, bytes: i64) {
    let workspace = given.data.get(&format!("/v1/workspaces/{}", given.workspace)).await.expect(200).json();
    assert_eq!(workspace["used_storage"], bytes);
    house.expect_used(bytes).await;
    house.expect_reserved(0).await;
}

/// What whoever made a version said of it is told with it: what the bytes are, and what has changed.
#[tokio::test]
async fn what_was_said_of_a_version_is_told_again() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let place = format!("/v1/files?workspace_id={}&name=a.txt", given.workspace);
    let declared = given.data.request(Method::POST, &place).header("content-type", "text/markdown").body("# one");
    let made = Answer::of(declared).await.expect(201).json();
    assert_eq!(made["declared_mime_type"], "text/markdown", "{made}");
    let file = made["id"].as_str().unwrap();

    let content = format!("/v1/files/{file}/content");
    let put = |summary: &str| {
        let request = given.data.request(Method::PUT, &content).query(&[("change_summary", summary)]);
        Answer::of(request.header("idempotency-key", "once").body("# two"))
    };
    let now = put("Zwölf Zeilen\nmehr").await.expect(200).json();
    assert_eq!((&now["version"], now.get("declared_mime_type")), (&json!(2), None), "{now}");
    let _ = put("Zwölf Zeilen\nmehr").await.expect(200);
    // Other words are another request.
    put("Something else").await.problem(422, "idempotency_mismatch");
    for wrong in [String::new(), "  ".to_owned(), "x\0".to_owned(), "x".repeat(2_001)] {
        put(&wrong).await.problem(422, "invalid_request");
    }
    let restore = given.data.request(Method::POST, &format!("/v1/files/{file}/versions/1/restore"));
    let restored = Answer::of(restore.query(&[("change_summary", "Back")])).await.expect(200).json();
    assert_eq!((&restored["version"], &restored["declared_mime_type"]), (&json!(3), &json!("text/markdown")));
    let wrong = given.data.request(Method::POST, &format!("/v1/files/{file}/versions/1/restore?change_summary="));
    Answer::of(wrong).await.problem(422, "invalid_request");

    let versions = given.data.get(&format!("/v1/files/{file}/versions")).await.expect(200).json();
    let said = |version: &serde_json::Value| {
        (version.get("change_summary").cloned(), version.get("declared_mime_type").cloned())
    };
    let markdown = Some(json!("text/markdown"));
    let expected =
        [(Some(json!("Back")), markdown.clone()), (Some(json!("Zwölf Zeilen\nmehr")), None), (None, markdown.clone())];
    assert_eq!(versions["items"].as_array().unwrap().iter().map(said).collect::<Vec<_>>(), expected);
    let one = given.data.get(&format!("/v1/files/{file}/versions/2")).await.expect(200).json();
    assert_eq!(said(&one), expected[1]);
    for path in [format!("/v1/files/{file}"), format!("/v1/files?workspace_id={}", given.workspace)] {
        let seen = given.data.get(&path).await.expect(200).json();
        let seen = seen.get("items").map_or(&seen, |items| &items[0]);
        assert_eq!(seen["declared_mime_type"], "text/markdown", "{seen}");
    }
}

#[tokio::test]
async fn an_old_version_comes_back_as_a_new_one_without_a_copy() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = file_with(&given, &["one", "second"]).await;
    let restore = format!("/v1/files/{file}/versions/1/restore");
    given
        .data
        .post(&format!("/v1/files/{file}/versions/2/restore"), &json!({}))
        .await
        .problem(409, "invalid_transition");
    given.data.post(&format!("/v1/files/{file}/versions/7/restore"), &json!({})).await.problem(404, "not_found");
    let stale = given.data.request(Method::POST, &restore).header("if-match", "\"sha256-stale\"");
    Answer::of(stale).await.problem(412, "precondition_failed");
    let again = || given.data.request(Method::POST, &restore).header("idempotency-key", "once");
    let first = Answer::of(again()).await.expect(200).json();
    assert_eq!((&first["version"], &first["size"]), (&json!(3), &json!(3)));
    assert_eq!(Answer::of(again()).await.expect(200).json(), first, "a repetition has no effect");
    assert_eq!(given.data.get(&format!("/v1/files/{file}/content")).await.expect(200).bytes, b"one");
    assert_eq!(numbers(&given, &file).await, [3, 2, 1]);
    assert_eq!(house.stored_objects(), 2);
    expect_used(&house, &given, 3 + 6 + 3).await;
}

#[tokio::test]
async fn an_old_version_that_no_quota_has_room_for_does_not_come_back() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = file_with(&given, &["a first content", "2"]).await;
    let restore = format!("/v1/files/{file}/versions/1/restore");
    let tenant = format!("/v1/tenants/{}", given.tenant);
    let _ = house.admin.patch(&tenant, &json!({"storage_quota": 20})).await.expect(200);
    let problem = given.data.post(&restore, &json!({})).await.problem(413, "quota_exceeded");
    assert_eq!(problem["level"], "tenant");
    let _ = house.admin.patch(&tenant, &json!({"storage_quota": null})).await.expect(200);
    let workspace = format!("/v1/workspaces/{}", given.workspace);
    let _ = given.data.patch(&workspace, &json!({"storage_quota": 20})).await.expect(200);
    let problem = given.data.post(&restore, &json!({})).await.problem(413, "quota_exceeded");
    assert_eq!(problem["level"], "workspace");
    assert_eq!(numbers(&given, &file).await, [2, 1]);
    expect_used(&house, &given, 16).await;
}

#[tokio::test]
async fn a_deleted_version_is_gone_and_no_longer_counted() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = file_with(&given, &["one", "second", "the third"]).await;
    let version = |number: i32| format!("/v1/files/{file}/versions/{number}");
    assert_eq!(given.data.get(&version(2)).await.expect(200).json()["size"], 6);
    given.data.delete(&version(3)).await.problem(409, "invalid_transition");
    given.data.delete(&version(9)).await.problem(404, "not_found");
    let _ = given.data.delete(&version(2)).await.expect(204);
    given.data.delete(&version(2)).await.problem(404, "not_found");
    given.data.get(&version(2)).await.problem(404, "not_found");
    given.data.get(&format!("/v1/files/{file}/content?version=2")).await.problem(404, "not_found");
    given.data.get(&version(0)).await.problem(404, "not_found");
    given.data.get(&format!("/v1/files/{file}/versions/two")).await.problem(400, "malformed_id");
    assert_eq!(numbers(&given, &file).await, [3, 1]);
    expect_used(&house, &given, 3 + 9).await;
    put(&given, &file, "4").await;
    assert_eq!(numbers(&given, &file).await, [4, 3, 1], "a number is never used again");
}

#[tokio::test]
async fn only_so_many_versions_stay_as_the_workspace_says() {
    let house = crate::house_with(|settings| settings.versions.keep_last = 3).await;
    let given = house.tenant().await;
    let workspace = format!("/v1/workspaces/{}", given.workspace);
    assert_eq!(given.data.get(&workspace).await.expect(200).json()["keep_versions"], 3, "the installation's default");
    for (pointer, body) in
        [("/keep_versions", json!({"keep_versions": 0})), ("/keep_versions_days", json!({"keep_versions_days": -1}))]
    {
        let problem = given.data.patch(&workspace, &body).await.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let file = file_with(&given, &["1", "22", "333", "4444", "55555"]).await;
    expect_left(&house, &given, &file, &[5, 4, 3], 12).await;
    let _ = given.data.patch(&workspace, &json!({"keep_versions": 1})).await.expect(200);
    expect_left(&house, &given, &file, &[5], 5).await;
    let _ = given.data.patch(&workspace, &json!({"keep_versions": null})).await.expect(200);
    for content in ["6", "7", "8"] {
        put(&given, &file, content).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    expect_left(&house, &given, &file, &[8, 7, 6, 5], 8).await;
}

#[tokio::test]
async fn a_version_stays_for_its_days_and_as_long_as_one_rule_keeps_it() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let workspace = format!("/v1/workspaces/{}", given.workspace);
    let file = file_with(&given, &["1", "22", "333", "4444"]).await;
    // The second replaced the first ten days ago, the third the second five days ago.
    house
        .tenant_rows(
            &given,
            "update file_versions set created_at = now() - make_interval(days => 15 - 5 * (version_number - 1))
             where version_number < 4",
        )
        .await;
    let _ = given.data.patch(&workspace, &json!({"keep_versions_days": 7})).await.expect(200);
    expect_left(&house, &given, &file, &[4, 3, 2], 9).await;
    let _ = given.data.patch(&workspace, &json!({"keep_versions_days": 1, "keep_versions": 3})).await.expect(200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    expect_left(&house, &given, &file, &[4, 3, 2], 9).await;
    let _ = given.data.patch(&workspace, &json!({"keep_versions": 1})).await.expect(200);
    expect_left(&house, &given, &file, &[4, 3], 7).await;
}
