//! Copies of files.

use reqwest::Method;
use rowhouse_testkit::Answer;
use serde_json::json;

#[tokio::test]
async fn a_copy_shares_its_bytes_and_is_counted() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = given.upload("a.txt", "one").await;
    let _ = given
        .data
        .patch(&format!("/v1/files/{file}"), &json!({"tags": ["red"], "metadata": {"year": 2026}}))
        .await
        .expect(200);
    let put = given.data.request(Method::PUT, &format!("/v1/files/{file}/content")).body("second");
    let _ = Answer::of(put).await.expect(200);
    let folder = given.folder("copies", None).await;
    let path = format!("/v1/files/{file}/copy");
    given.data.post(&path, &json!({})).await.problem(409, "name_taken");
    let once =
        || given.data.request(Method::POST, &path).header("idempotency-key", "k").json(&json!({"name": "b.txt"}));
    let copy = Answer::of(once()).await.expect(201);
    assert_eq!(copy.header("location"), format!("/v1/files/{}", copy.text("id")));
    let first = copy.json();
    assert_eq!(Answer::of(once()).await.expect(201).json(), first);
    assert_eq!(
        (&first["name"], &first["version"], &first["size"], &first["tags"], &first["metadata"]),
        (&json!("b.txt"), &json!(1), &json!(6), &json!(["red"]), &json!({"year": 2026}))
    );
    let old = given.data.post(&path, &json!({"folder_id": folder, "version": 1})).await.expect(201).text("id");
    assert_eq!(given.data.get(&format!("/v1/files/{old}/content")).await.expect(200).bytes, b"one");
    assert_eq!(house.stored_objects(), 2);
    house.expect_used(9 + 6 + 3).await;
    house.expect_reserved(0).await;
    // Each has its own life.
    let put = given.data.request(Method::PUT, &format!("/v1/files/{old}/content")).body("third");
    let _ = Answer::of(put).await.expect(200);
    assert_eq!(given.data.get(&format!("/v1/files/{file}/content")).await.expect(200).bytes, b"second");
}

#[tokio::test]
async fn a_copy_goes_where_it_may() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = given.upload("a.txt", "ten bytes.").await;
    let path = format!("/v1/files/{file}/copy");
    let other = given.data.post("/v1/workspaces", &json!({"name": "Other", "storage_quota": 15})).await;
    let other = other.expect(201).text("id");
    let copy = given.data.post(&path, &json!({"workspace_id": other})).await.expect(201).json();
    assert_eq!((&copy["workspace_id"], &copy["name"]), (&json!(other), &json!("a.txt")));
    let problem = given.data.post(&path, &json!({"workspace_id": other, "name": "b"})).await;
    assert_eq!(problem.problem(413, "quota_exceeded")["level"], "workspace");
    let _ =
        house.admin.patch(&format!("/v1/tenants/{}", given.tenant), &json!({"storage_quota": 25})).await.expect(200);
    let problem = given.data.post(&path, &json!({"name": "b"})).await.problem(413, "quota_exceeded");
    assert_eq!(problem["level"], "tenant");
    for (body, status, code) in [
        (json!({"workspace_id": rowhouse_domain::WorkspaceId::new().to_string()}), 404, "not_found"),
        (json!({"folder_id": rowhouse_domain::FolderId::new().to_string()}), 404, "not_found"),
        (json!({"version": 2}), 404, "not_found"),
        (json!({"name": "../x"}), 422, "invalid_request"),
        (json!({"nam": "x"}), 422, "invalid_request"),
    ] {
        given.data.post(&path, &body).await.problem(status, code);
    }
    house.expect_used(20).await;
    house.expect_reserved(0).await;
}
