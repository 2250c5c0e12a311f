//! Files: versions, names, the trash.

use reqwest::Method;
use rowhouse_testkit::Answer;
use serde_json::json;

#[tokio::test]
async fn a_file_keeps_its_versions() {
    let given = crate::house().await.into_tenant().await;
    let file = given.upload("a.txt", "one").await;
    let content = format!("/v1/files/{file}/content");
    let first = given.data.get(&content).await.expect(200);
    let put = given.data.request(Method::PUT, &content).header("if-match", first.header("etag")).body("two");
    assert_eq!(Answer::of(put).await.expect(200).json()["version"], 2);
    let stale = given.data.request(Method::PUT, &content).header("if-match", first.header("etag")).body("three");
    Answer::of(stale).await.problem(412, "precondition_failed");
    assert_eq!(given.data.get(&content).await.expect(200).bytes, b"two");
    assert_eq!(given.data.get(&format!("{content}?version=1")).await.expect(200).bytes, b"one");
    given.data.get(&format!("{content}?version=9")).await.problem(404, "not_found");
    let versions = given.data.get(&format!("/v1/files/{file}/versions")).await.expect(200).json();
    assert_eq!(versions["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_deleted_file_waits_in_the_trash() {
    let given = crate::house().await.into_tenant().await;
    let file = given.upload("a.txt", "one").await;
    let path = format!("/v1/files/{file}");
    assert!(given.data.delete(&path).await.status.is_success());
    given.data.get(&path).await.problem(404, "not_found");
    given.data.get(&format!("{path}/content")).await.problem(404, "not_found");
    // Its name is free meanwhile, and then it can't come back under it.
    let second = given.upload("a.txt", "two").await;
    let trash = given.data.get("/v1/files?deleted=true").await.expect(200).json();
    assert_eq!((trash["items"].as_array().unwrap().len(), &trash["items"][0]["id"]), (1, &json!(file)));
    given.data.post(&format!("{path}/restore"), &json!({})).await.problem(409, "name_taken");
    let _ = given.data.patch(&format!("/v1/files/{second}"), &json!({"name": "b.txt"})).await.expect(200);
    let _ = given.data.post(&format!("{path}/restore"), &json!({})).await.expect(200);
    assert_eq!(given.data.get(&format!("{path}/content")).await.expect(200).bytes, b"one");
}

#[tokio::test]
async fn equal_contents_are_stored_once() {
    let house = crate::house().await;
    let given = house.tenant().await;
    for name in ["a.bin", "b.bin", "c.bin"] {
        given.upload(name, "the same bytes").await;
    }
    assert_eq!(house.stored_objects(), 1);
    let other = house.tenant().await;
    other.upload("a.bin", "the same bytes").await;
    assert_eq!(house.stored_objects(), 2, "but never shared between tenants");
}

#[tokio::test]
async fn names_are_unique_whatever_their_case_or_composition() {
    let given = crate::house().await.into_tenant().await;
    given.upload("r%C3%A9sum%C3%A9.txt", "x").await;
    for name in ["R%C3%A9sum%C3%A9.TXT", "re%CC%81sume%CC%81.txt"] {
        let path = format!("/v1/files?workspace_id={}&name={name}", given.workspace);
        given.data.upload(&path, "y").await.problem(409, "name_taken");
    }
}

#[tokio::test]
async fn two_uploads_of_one_name_at_once_have_one_winner() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let path = format!("/v1/files?workspace_id={}&name=race.txt", given.workspace);
    let racers = (0..8).map(|number| {
        let (data, path) = (given.data.clone(), path.clone());
        async move { data.upload(&path, format!("content {number}")).await.status.as_u16() }
    });
    let mut answers = futures::future::join_all(racers).await;
    answers.sort_unstable();
    assert_eq!(answers, [201, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(house.stored_objects(), 1, "the losers' objects are gone");
}

#[tokio::test]
async fn a_list_pages_through_a_folder() {
    let given = crate::house().await.into_tenant().await;
    for number in 0..5 {
        given.upload(&format!("{number}.txt"), "x").await;
    }
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let path = format!("/v1/files?workspace_id={}&limit=2{cursor}", given.workspace);
        let page = given.data.get(&path).await.expect(200).json();
        seen += page["items"].as_array().unwrap().len();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 5);
}
