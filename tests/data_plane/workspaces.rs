//! Workspaces and their most.

use rowhouse_testkit::Given;
use serde_json::{Value, json};

use crate::suite::folders::fill;
use crate::suite::trees::ended;

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
async fn workspaces_lie_27_deep_at_most_however_they_came_there() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let path = format!("/v1/organizations/{}", given.organization);
    let _ = house.admin.patch(&path, &json!({"max_workspaces": 100})).await.expect(200);
    let make = async |parent: Option<&str>, name: String| {
        given.data.post("/v1/workspaces", &json!({"name": name, "parent_workspace_id": parent})).await
    };
    let mut chain: Vec<String> = Vec::new();
    for depth in 1..=27 {
        let made = make(chain.last().map(String::as_str), format!("w{depth}")).await;
        chain.push(made.expect(201).text("id"));
    }
    let problem = make(chain.last().map(String::as_str), "w28".to_owned()).await.problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/parent_workspace_id");
    // The one that is moved fits, what lies in it does not.
    let outer = make(None, "outer".to_owned()).await.expect(201).text("id");
    let _ = make(Some(&outer), "inner".to_owned()).await.expect(201);
    let (moved, body) = (format!("/v1/workspaces/{outer}"), json!({"parent_workspace_id": chain[25]}));
    let problem = given.data.patch(&moved, &body).await.problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/parent_workspace_id");
    assert_eq!(given.data.get(&moved).await.expect(200).json()["parent_workspace_id"], Value::Null);
    let body = json!({"parent_workspace_id": chain[24]});
    let _ = given.data.patch(&moved, &body).await.expect(200);
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

async fn make(given: &Given, body: Value) -> String {
    given.data.post("/v1/workspaces", &body).await.expect(201).text("id")
}

#[tokio::test]
async fn two_moves_at_once_make_no_ring() {
    let given = crate::house().await.into_tenant().await;
    let (a, b) = (make(&given, json!({"name": "a"})).await, make(&given, json!({"name": "b"})).await);
    let move_to = async |workspace: &str, parent: Value| {
        let path = format!("/v1/workspaces/{workspace}");
        given.data.patch(&path, &json!({ "parent_workspace_id": parent })).await.status.as_u16()
    };
    for _ in 0..10 {
        let (one, other) = tokio::join!(move_to(&a, json!(b)), move_to(&b, json!(a)));
        assert_eq!([one, other].into_iter().filter(|status| *status == 200).count(), 1, "{one} and {other}");
        assert_eq!((move_to(&a, Value::Null).await, move_to(&b, Value::Null).await), (200, 200));
    }
}

#[tokio::test]
async fn workspaces_come_back_with_what_went_along() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let outer = make(&given, json!({"name": "outer", "settings": {"theme": "dark"}})).await;
    let inner = make(&given, json!({"name": "inner", "parent_workspace_id": outer})).await;
    let old = make(&given, json!({"name": "old", "parent_workspace_id": outer})).await;
    let folder = json!({"workspace_id": inner, "name": "folder"});
    let folder = given.data.post("/v1/folders", &folder).await.expect(201).text("id");
    let upload = async |workspace: &str, query: &str, name: &str| {
        let path = format!("/v1/files?workspace_id={workspace}&name={name}{query}");
        given.data.upload(&path, name.to_owned()).await.expect(201).text("id")
    };
    let kept = upload(&inner, &format!("&folder_id={folder}"), "kept.txt").await;
    let (top, before) = (upload(&outer, "", "top.txt").await, upload(&outer, "", "before.txt").await);
    for path in [format!("/v1/files/{before}"), format!("/v1/workspaces/{old}"), format!("/v1/workspaces/{outer}")] {
        let _ = given.data.delete(&path).await.expect(204);
    }
    for path in [format!("/v1/files/{kept}"), format!("/v1/folders/{folder}"), format!("/v1/workspaces/{inner}")] {
        given.data.get(&path).await.problem(404, "not_found");
    }
    let trash = given.data.get("/v1/workspaces?deleted=true").await.expect(200).json();
    let ids: Vec<&str> = trash["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [outer.as_str(), old.as_str()]);
    let counted = "select used_workspaces::bigint from organizations";
    house.expect_figure(counted, 1).await;

    given.data.post(&format!("/v1/workspaces/{inner}/restore"), &json!({})).await.problem(409, "invalid_transition");
    given.data.post(&format!("/v1/folders/{folder}/restore"), &json!({})).await.problem(404, "not_found");
    // Two come back together, or none does.
    let organization = format!("/v1/organizations/{}", given.organization);
    let _ = house.admin.patch(&organization, &json!({"max_workspaces": 2})).await.expect(200);
    let restore = format!("/v1/workspaces/{outer}/restore");
    given.data.post(&restore, &json!({})).await.problem(422, "limit_reached");
    let _ = house.admin.patch(&organization, &json!({"max_workspaces": 3})).await.expect(200);
    let restored = given.data.post(&restore, &json!({})).await.expect(200).json();
    assert_eq!(restored["settings"]["theme"], "dark");
    for path in [
        format!("/v1/files/{kept}"),
        format!("/v1/files/{top}"),
        format!("/v1/folders/{folder}"),
        format!("/v1/workspaces/{inner}"),
    ] {
        let _ = given.data.get(&path).await.expect(200);
    }
    for path in [format!("/v1/files/{before}"), format!("/v1/workspaces/{old}")] {
        given.data.get(&path).await.problem(404, "not_found");
    }
    house.expect_figure(counted, 3).await;
    house.expect_figure("select count(*) from quota_reservations where workspaces > 0", 0).await;
    house.expect_figure(counted, 3).await;
}

#[tokio::test]
async fn a_large_workspace_is_deleted_and_restored_by_jobs() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let folder = given.folder("big", None).await;
    fill(&house, &given, &folder, 2_500).await;
    let (file, path) = (given.upload("top.txt", "top").await, format!("/v1/workspaces/{}", given.workspace));
    let deleted = given.data.delete(&path).await.expect(202);
    for path in [&format!("/v1/files/{file}"), &format!("/v1/folders/{folder}"), &path] {
        given.data.get(path).await.problem(404, "not_found");
    }
    assert_eq!(given.data.get("/v1/files").await.expect(200).json()["items"], json!([]));
    let restored = given.data.post(&format!("{path}/restore"), &json!({})).await.expect(202);
    let job = ended(&given, restored.header("location")).await;
    assert_eq!((job["state"].as_str(), job["subject"].as_str()), (Some("done"), Some(given.workspace.as_str())));
    let _ = ended(&given, deleted.header("location")).await;
    for path in [&format!("/v1/files/{file}"), &format!("/v1/folders/{folder}"), &path] {
        let _ = given.data.get(path).await.expect(200);
    }
    let inside = house.inside(&given).await;
    let live = inside.query("select count(*) from files where deleted_at is null", &[]).await.unwrap();
    assert_eq!(live[0].try_get::<_, i64>(0).unwrap(), 2_501);
}

#[tokio::test]
async fn a_workspace_that_was_never_made_is_not_counted_for_long() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let id = given.tenant.parse::<rowhouse_domain::TenantId>().unwrap().as_uuid();
    let counted = "select used_workspaces::bigint from organizations";
    house.expect_figure("select count(*) from quota_reservations", 0).await;
    // As a service leaves it that dies before it keeps them for its commit, and one that dies after that.
    let reserve = "select quota_reserve(gen_random_uuid(), 'TENANT', 0, interval '1 second', null, 2)";
    house.sql(&reserve.replace("TENANT", &id.to_string())).await;
    house.expect_figure(counted, 3).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    house.sql("select quota_expire(100)").await;
    house.expect_figure(counted, 1).await;
    let keep = "select quota_commit(id, 'TENANT', 0) from quota_reservations";
    for sql in [reserve, keep] {
        house.sql(&sql.replace("TENANT", &id.to_string())).await;
    }
    house.sql("select work_mark(id) from tenants").await;
    house.expect_figure(counted, 1).await;
    house.expect_figure("select count(*) from quota_reservations", 0).await;
}

/// However long the event of a workspace is under way, the next one finds it counted.
#[tokio::test]
async fn a_late_event_does_not_pass_the_limit() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let tenants = format!("/v1/organizations/{}/tenants", given.organization);
    let other = house.admin.post(&tenants, &json!({"name": "other"})).await.expect(201).text("id");
    let other = house.tenant_key(&other, &["manage_workspaces"]).await;
    let organization = format!("/v1/organizations/{}", given.organization);
    let _ = house.admin.patch(&organization, &json!({"max_workspaces": 2})).await.expect(200);
    house.sql("revoke execute on function usage_record_all from rowhouse_data").await;
    make(&given, json!({"name": "second"})).await;
    // All that time alone ends has ended.
    house
        .sql("update quota_reservations set expires_at = now() - interval '1 second' where expires_at <> 'infinity'")
        .await;
    house.sql("select quota_expire(100)").await;
    other.post("/v1/workspaces", &json!({"name": "third"})).await.problem(422, "limit_reached");
    house.sql("grant execute on function usage_record_all to rowhouse_data").await;
    house.expect_figure("select count(*) from quota_reservations", 0).await;
    house.expect_figure("select used_workspaces::bigint from organizations", 2).await;
}

#[tokio::test]
async fn lists_are_narrowed_by_tag_and_type() {
    let given = crate::house().await.into_tenant().await;
    let a = make(&given, json!({"name": "a", "tags": ["red", "x y"], "workspace_type": "project"})).await;
    let b = make(&given, json!({"name": "b", "tags": ["red"], "parent_workspace_id": a})).await;
    let c = make(&given, json!({"name": "c", "tags": ["blue"], "workspace_type": "personal"})).await;
    for (query, expected) in [
        ("tag=red", vec![&a, &b]),
        ("tag=x%20y", vec![&a]),
        ("tag=red&workspace_type=team", vec![&b]),
        ("workspace_type=personal", vec![&c]),
        ("tag=red&parent_workspace_id=root", vec![&a]),
        ("tag=green", vec![]),
    ] {
        let list = given.data.get(&format!("/v1/workspaces?{query}")).await.expect(200).json();
        let found: Vec<&str> =
            list["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{query}");
    }
}
