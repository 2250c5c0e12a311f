//! Workspaces and their most.

use serde_json::json;

#[tokio::test]
async fn workspaces_are_made_changed_nested_and_deleted() {
    let given = crate::house().await.into_tenant().await;
    let parent = given
        .data
        .post("/v1/workspaces", &json!({"name": "Projects", "workspace_type": "project", "tags": ["a"]}))
        .await
        .expect(201);
    let path = parent.header("location").to_owned();
    let child = json!({"name": "One", "parent_workspace_id": parent.text("id")});
    let child = given.data.post("/v1/workspaces", &child).await.expect(201);
    let changed = given.data.patch(&path, &json!({"name": "Projekte", "storage_quota": 10})).await.expect(200);
    assert_eq!(
        (changed.json()["name"].as_str(), changed.json()["storage_quota"].as_i64()),
        (Some("Projekte"), Some(10))
    );
    given.data.post("/v1/workspaces", &json!({"name": "projekte"})).await.problem(409, "name_taken");
    let cycle = json!({"parent_workspace_id": child.text("id")});
    given.data.patch(&path, &cycle).await.problem(409, "move_into_itself");
    assert!(given.data.delete(&path).await.status.is_success());
    given.data.get(&path).await.problem(404, "not_found");
    given.data.get(child.header("location")).await.problem(404, "not_found");
}

#[tokio::test]
async fn an_organization_has_a_most_of_workspaces_over_all_its_tenants() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let path = format!("/v1/organizations/{}", given.organization);
    // One exists already.
    let _ = house.admin.patch(&path, &json!({"max_workspaces": 3})).await.expect(200);
    let names = (0..6).map(|number| json!({"name": format!("w{number}")}));
    let answers = futures::future::join_all(names.map(|body| {
        let data = given.data.clone();
        async move { data.post("/v1/workspaces", &body).await }
    }))
    .await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 2);
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        answer.problem(422, "limit_reached");
    }
}

#[tokio::test]
async fn two_moves_into_one_workspace_do_not_wait_for_each_other() {
    let given = crate::house().await.into_tenant().await;
    let make =
        async |name: &str| given.data.post("/v1/workspaces", &json!({ "name": name })).await.expect(201).text("id");
    let (parent, one, other) = (make("p").await, make("a").await, make("b").await);
    let (one, other) = (format!("/v1/workspaces/{one}"), format!("/v1/workspaces/{other}"));
    for _ in 0..10 {
        for to in [json!(parent), json!(null)] {
            let body = json!({ "parent_workspace_id": to });
            let (one, other) = tokio::join!(given.data.patch(&one, &body), given.data.patch(&other, &body));
            let _ = (one.expect(200), other.expect(200));
        }
    }
}
