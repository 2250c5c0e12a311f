//! Folders: a tree without rings, deleted with what is in it.

use serde_json::json;

#[tokio::test]
async fn a_folder_is_deleted_with_everything_below_it() {
    let given = crate::house().await.into_tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    let path = format!("/v1/files?workspace_id={}&folder_id={inner}&name=deep.txt", given.workspace);
    let file = given.data.upload(&path, "deep").await.expect(201).text("id");
    assert!(given.data.delete(&format!("/v1/folders/{outer}")).await.status.is_success());
    for gone in [format!("/v1/folders/{inner}"), format!("/v1/files/{file}/content")] {
        given.data.get(&gone).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn folders_move_but_never_into_themselves() {
    let given = crate::house().await.into_tenant().await;
    let (a, b) = (given.folder("a", None).await, given.folder("b", None).await);
    let moved = given.data.patch(&format!("/v1/folders/{b}"), &json!({"parent_id": a})).await.expect(200);
    assert_eq!(moved.text("parent_id"), a);
    given.data.patch(&format!("/v1/folders/{a}"), &json!({"parent_id": b})).await.problem(422, "invalid_request");
    given.data.patch(&format!("/v1/folders/{a}"), &json!({"parent_id": a})).await.problem(422, "invalid_request");
    let again = json!({"workspace_id": given.workspace, "parent_id": a, "name": "B"});
    given.data.post("/v1/folders", &again).await.problem(409, "name_taken");
}
