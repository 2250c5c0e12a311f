//! Names, ids and bodies that are not as they should be.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rowhouse_testkit::Wild;
use serde_json::json;

use super::is_soak;

#[tokio::test]
async fn path_tricks_in_names_are_refused_and_the_field_is_named() {
    let given = crate::house().await.into_tenant().await;
    let long = "x".repeat(256);
    let names = ["", "..", ".", "../../etc/passwd", "a/b", "a\\b", "nul\0", "line\nbreak", "\u{202e}txt.exe", &long];
    for name in names {
        let problem = given.data.post("/v1/workspaces", &json!({"name": name})).await.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], "/name", "{name:?}");
        let folder = json!({"workspace_id": given.workspace, "name": name});
        given.data.post("/v1/folders", &folder).await.problem(422, "invalid_request");
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/v1/files?workspace_id={}&name={encoded}", given.workspace);
        let problem = given.data.upload(&path, "x").await.problem(422, "invalid_request");
        assert!(problem["errors"][0]["pointer"].as_str().unwrap().contains("name"), "{name:?}: {problem}");
    }
}

#[tokio::test]
async fn ids_that_can_not_be_read_are_400_and_unknown_ones_404() {
    let given = crate::house().await.into_tenant().await;
    for path in
        ["/v1/files/42", "/v1/folders/fil_01h455vb4pex5vsknk084sn02q", "/v1/workspaces/%00", "/v1/files/x/content"]
    {
        given.data.get(path).await.problem(400, "malformed_id");
    }
    given.data.get(&format!("/v1/files/{}", rowhouse_domain::FileId::new())).await.problem(404, "not_found");
    given.data.get("/v1/files?cursor=nonsense!").await.problem(400, "malformed_cursor");
    for path in ["/v1/files?tag=%00", "/v1/workspaces?tag=a%00b"] {
        let problem = given.data.get(path).await.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], "tag", "{path}");
    }
    for (sort, key) in [("name", "\0"), ("updated_at", "-009999-01-02T01:59:59Z")] {
        let cursor = json!([sort, "asc", key, rowhouse_domain::FileId::new().to_string()]).to_string();
        let path = format!("/v1/files?sort={sort}&cursor={}", URL_SAFE_NO_PAD.encode(cursor));
        given.data.get(&path).await.problem(400, "malformed_cursor");
    }
    given.data.get("/v1/files?colour=red").await.problem(422, "invalid_request");
    given.data.get("/v1/nothing").await.problem(404, "no_such_route");
    let answer = given.data.delete("/v1/search").await;
    assert!(answer.header("allow").contains("GET"));
    answer.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn metadata_and_tags_have_a_form() {
    let given = crate::house().await.into_tenant().await;
    let file = given.upload("a.txt", "x").await;
    let path = format!("/v1/files/{file}");
    for body in [
        json!({"tags": [1]}),
        json!({"metadata": []}),
        json!({"tags": [""]}),
        json!({"metadata": {"a": "nul\0"}}),
        json!({"size": 1}),
    ] {
        given.data.patch(&path, &body).await.problem(422, "invalid_request");
    }
    let changed =
        given.data.patch(&path, &json!({"tags": ["a", "b"], "metadata": {"deep": {"er": 1}}})).await.expect(200).json();
    assert_eq!(changed["metadata"], json!({"deep": {"er": 1}}));
}

/// Requests of the ordinary suite, and of the long one.
const WILD: (u32, u32) = (3_000, 50_000);

#[tokio::test]
async fn whatever_is_asked_no_answer_is_a_failure_of_ours() {
    let given = crate::house().await.into_tenant().await;
    let seed = if is_soak() { rand::random() } else { 1 };
    let mut wild = Wild::new(&given.data, seed, |_, _| true).await;
    let mut answered = 0;
    for _ in 0..if is_soak() { WILD.1 } else { WILD.0 } {
        let Some((shown, answer)) = wild.send(&given.data).await else { continue };
        answer.expect_of_caller(&format!("seed {seed}: {shown}"));
        answered += 1;
    }
    assert!(answered > 1_000, "only {answered} requests could be sent (seed {seed})");
    // What it left is as it should be.
    let _ = given.data.get("/v1/workspaces").await.expect(200);
}
