//! Many files changed by one request.

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_testkit::{Answer, Given, TestHouse};
use serde_json::{Value, json};

use super::s3::Setting;

const PATH: &str = "/v1/files/batch";

async fn batch(given: &Given, mode: &str, items: Value) -> Answer {
    given.data.post(PATH, &json!({"mode": mode, "items": items})).await
}

/// Names of the live files at the top of the workspace or in a folder, sorted.
async fn names(given: &Given, folder: &str) -> Vec<String> {
    let path = format!("/v1/files?workspace_id={}&folder_id={folder}&sort=name&limit=200", given.workspace);
    let page = given.data.get(&path).await.expect(200).json();
    page["items"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn everything_that_can_be_done_with_files_is_done_at_once() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let folder = given.folder("folder", None).await;
    let other = given.data.post("/v1/workspaces", &json!({"name": "Other"})).await.expect(201).text("id");
    let mut files = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        files.push(given.upload(name, format!("content of {name}")).await);
    }
    let _ = given.data.delete(&format!("/v1/files/{}", files[4])).await.expect(204);
    let etag = given.data.get(&format!("/v1/files/{}", files[0])).await.expect(200).header("etag").to_owned();
    let items = json!([
        {"action": "update", "id": files[0], "name": "A2", "folder_id": folder, "tags": ["z", "y"], "metadata": {"n": 1}, "if_match": etag},
        {"action": "update", "id": files[1], "name": "A"},
        {"action": "update", "id": files[2], "workspace_id": other},
        {"action": "delete", "id": files[3]},
        {"action": "restore", "id": files[4]},
        {"action": "copy", "id": files[0], "name": "copy", "tags": ["own"]},
        {"action": "copy", "id": files[5], "name": "d", "version": 1},
    ]);
    let once = || {
        let body = json!({"items": items});
        given.data.request(Method::POST, PATH).header("idempotency-key", "k").json(&body)
    };
    let answer = Answer::of(once()).await.expect(200).json();
    assert_eq!((&answer["succeeded"], &answer["failed"]), (&json!(7), &json!(0)), "{answer}");
    let statuses: Vec<u64> =
        answer["items"].as_array().unwrap().iter().map(|item| item["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 200, 204, 200, 201, 201]);
    assert_eq!(Answer::of(once()).await.expect(200).json(), answer);
    let first = &answer["items"][0]["file"];
    assert_eq!((&first["tags"], &first["metadata"]), (&json!(["z", "y"]), &json!({"n": 1})));
    let now = given.data.get(&format!("/v1/files/{}", files[0])).await.expect(200);
    assert_eq!(
        (now.header("etag"), now.json()["name"].as_str()),
        (answer["items"][0]["etag"].as_str().unwrap(), Some("A2"))
    );
    // A copy is of what the items before it have left.
    let copy = &answer["items"][5]["file"];
    assert_eq!(
        (&copy["folder_id"], &copy["tags"], &copy["metadata"]),
        (&json!(folder), &json!(["own"]), &json!({"n": 1}))
    );
    let content = given.data.get(&format!("/v1/files/{}/content", copy["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(content.bytes, b"content of a");
    assert_eq!(names(&given, "root").await, ["A", "d", "e", "f"]);
    assert_eq!(names(&given, &folder).await, ["A2", "copy"]);
    assert_eq!(house.stored_objects(), 6);
    house.expect_used(8 * 12).await;
    house.expect_reserved(0).await;
    assert_eq!(crate::suite::recount::recount(&house, &given).await, 8 * 12);
}

#[tokio::test]
async fn one_that_fails_leaves_everything_as_it_was_unless_each_stands_alone() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let (a, b, c) = (given.upload("a", "ten bytes.").await, given.upload("b", "b").await, given.upload("c", "c").await);
    let nobody = rowhouse_domain::FileId::new().to_string();
    let items = json!([
        {"action": "update", "id": a, "name": "a2"},
        {"action": "update", "id": b, "name": "C"},
        {"action": "delete", "id": nobody},
        {"action": "delete", "id": c, "if_match": "\"0\""},
        {"action": "copy", "id": a, "folder_id": rowhouse_domain::FolderId::new().to_string()},
        {"action": "copy", "id": a, "version": 7, "name": "x"},
        {"action": "copy", "id": a, "name": "y"},
    ]);
    let problem = batch(&given, "all", items.clone()).await.problem(409, "batch_failed");
    let failures = |items: &Value| -> Vec<(u64, String)> {
        let items = items.as_array().unwrap().iter().filter(|item| item["error"].is_object());
        items
            .map(|item| (item["index"].as_u64().unwrap(), item["error"]["code"].as_str().unwrap().to_owned()))
            .collect()
    };
    let expected: Vec<(u64, String)> =
        [(1, "name_taken"), (2, "not_found"), (3, "precondition_failed"), (4, "not_found"), (5, "not_found")]
            .map(|(index, code)| (index, code.to_owned()))
            .to_vec();
    assert_eq!(failures(&problem["items"]), expected);
    assert_eq!(names(&given, "root").await, ["a", "b", "c"]);
    house.expect_reserved(0).await;
    house.expect_used(12).await;

    let answer = batch(&given, "each", items).await.expect(200).json();
    assert_eq!((&answer["succeeded"], &answer["failed"]), (&json!(2), &json!(5)));
    assert_eq!(failures(&answer["items"]), expected);
    assert_eq!(names(&given, "root").await, ["a2", "b", "c", "y"]);
    house.expect_reserved(0).await;
    house.expect_used(22).await;
}

#[tokio::test]
async fn copies_take_what_room_there_is() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let (large, small) = (given.upload("large", "ten bytes.").await, given.upload("small", "3 b").await);
    house.expect_used(13).await;
    let _ =
        house.admin.patch(&format!("/v1/tenants/{}", given.tenant), &json!({"storage_quota": 19})).await.expect(200);
    let items = json!([
        {"action": "copy", "id": large, "name": "1"},
        {"action": "copy", "id": small, "name": "2"},
        {"action": "copy", "id": small, "name": "3"},
        {"action": "copy", "id": small, "name": "4"},
        {"action": "update", "id": small, "name": "5"},
    ]);
    let problem = batch(&given, "all", items.clone()).await.problem(413, "quota_exceeded");
    assert_eq!(problem["level"], "tenant");
    house.expect_reserved(0).await;
    let answer = batch(&given, "each", items).await.expect(200).json();
    let statuses: Vec<u64> =
        answer["items"].as_array().unwrap().iter().map(|item| item["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [413, 201, 201, 413, 200], "{answer}");
    assert_eq!(answer["items"][0]["error"]["level"], "tenant");
    house.expect_used(19).await;
    house.expect_reserved(0).await;
    assert_eq!(crate::suite::recount::recount(&house, &given).await, 19);
}

#[tokio::test]
async fn what_is_not_valid_is_named() {
    let given = crate::house().await.into_tenant().await;
    let file = given.upload("a", "a").await;
    let item = |name: &str| json!({"action": "copy", "id": file, "name": name});
    let too_many: Vec<Value> = (0..1_001).map(|number| item(&number.to_string())).collect();
    for (items, pointer) in [
        (json!(too_many), "/items"),
        (json!([]), "/items"),
        (json!([item("x"), item("../y")]), "/items/1/name"),
        (json!([{"action": "dance", "id": file}]), "/items/0/action"),
        (json!([{"action": "delete", "id": "fil_x"}]), "/items/0/id"),
        (json!([{"action": "delete", "id": file, "tags": []}]), "/items/0/tags"),
        (json!([{"action": "delete", "id": file}, {"action": "update", "id": file}]), "/items/1/id"),
    ] {
        let problem = batch(&given, "all", items).await.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    assert_eq!(names(&given, "root").await, ["a"]);
    // Each alone, what is not valid is its item's outcome.
    let other = given.upload("b", "b").await;
    let update = |id: &str, change: Value| {
        let mut item = json!({"action": "update", "id": id});
        item.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        item
    };
    let items = json!([
        update(&file, json!({"name": "../x", "tags": [""]})),
        update(&other, json!({"name": "c"})),
        item("d/e"),
        item("d"),
    ]);
    let done = batch(&given, "each", items).await.expect(200).json();
    let statuses: Vec<&Value> = done["items"].as_array().unwrap().iter().map(|item| &item["status"]).collect();
    assert_eq!((statuses, &done["failed"]), (vec![&json!(422), &json!(200), &json!(422), &json!(201)], &json!(2)));
    let error = &done["items"][0]["error"];
    assert_eq!((&error["code"], &error["errors"][0]["pointer"]), (&json!("invalid_request"), &json!("/items/0/name")));
    assert_eq!(names(&given, "root").await, ["a", "c", "d"]);
    let twice = json!([{"action": "delete", "id": file}, {"action": "update", "id": file}]);
    batch(&given, "each", twice).await.problem(422, "invalid_request");
    assert_eq!(names(&given, "root").await, ["a", "c", "d"]);
}

#[tokio::test]
async fn another_tenant_s_files_are_not_found() {
    let house = crate::house().await;
    let (own, other) = (house.tenant().await, house.tenant().await);
    let (file, folder) = (other.upload("a", "a").await, other.folder("folder", None).await);
    let mine = own.upload("mine", "m").await;
    let items = json!([
        {"action": "update", "id": file, "name": "b"},
        {"action": "copy", "id": file},
        {"action": "update", "id": mine, "folder_id": folder},
        {"action": "update", "id": mine, "workspace_id": other.workspace},
    ]);
    for item in items.as_array().unwrap() {
        let problem = batch(&own, "all", json!([item])).await.problem(409, "batch_failed");
        assert_eq!(problem["items"][0]["error"]["code"], "not_found", "{problem}");
    }
}

/// A folder with so many files, and their ids.
async fn full_folder(house: &TestHouse, given: &Given, name: &str, count: usize) -> (String, Vec<String>) {
    let folder = given.folder(name, None).await;
    crate::suite::folders::fill(house, given, &folder, count).await;
    let rows = house.tenant_rows(given, "select id from files where tenant_id = app_tenant_id() order by id").await;
    let ids = rows.iter().map(|row| rowhouse_domain::FileId::from_uuid(row.try_get(0).unwrap()).to_string()).collect();
    (folder, ids)
}

#[tokio::test]
async fn a_thousand_are_moved_at_once() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let (_, ids) = full_folder(&house, &given, "from", 1_000).await;
    let to = given.folder("to", None).await;
    let moves = ids.iter().map(|id| json!({"action": "update", "id": id, "folder_id": to})).collect();
    let answer = batch(&given, "all", moves).await.expect(200).json();
    assert_eq!(answer["succeeded"], 1_000);
    assert!(answer["items"].as_array().unwrap().iter().all(|item| item["file"]["folder_id"] == json!(to)));
}

#[tokio::test]
async fn batches_that_meet_wait_for_each_other() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let (folder, mut ids) = full_folder(&house, &given, "folder", 500).await;
    let other = given.folder("other", None).await;
    let path = format!("/v1/folders/{folder}");
    for round in 0..6 {
        let labels = |ids: &[String], tag: &str| -> Value {
            ids.iter().map(|id| json!({"action": "update", "id": id, "tags": [tag]})).collect()
        };
        let forth = labels(&ids, "forth");
        ids.reverse();
        let back = labels(&ids, "back");
        let at_the_folder = async {
            match round {
                0 | 3 => given.data.patch(&path, &json!({"parent_id": other})).await.expect(200),
                1 | 4 => given.data.patch(&path, &json!({"parent_id": null})).await.expect(200),
                2 => given.data.delete(&path).await.expect(204),
                _ => given.data.get(&path).await.expect(200),
            }
        };
        let (forth, back, _) = tokio::join!(batch(&given, "all", forth), batch(&given, "all", back), at_the_folder);
        // One that comes after the deletion finds nothing; nobody waits for somebody that waits for him.
        for answer in [forth, back] {
            let status = answer.status.as_u16();
            assert!(status == 200 || (round == 2 && status == 409), "{status} in round {round}");
        }
        if round == 2 {
            let _ = given.data.post(&format!("{path}/restore"), &json!({})).await.expect(200);
        }
    }
}

/// A version's number is free again when it is deleted: what is copied is what room was reserved for.
#[tokio::test]
async fn a_version_that_takes_the_number_of_a_copied_one_is_not_copied() {
    let setting = Setting::new().await;
    let (house, given) = (&setting.house, &setting.given);
    // It is locked after the one that the copy goes to: until that is free, others get at its versions.
    let source = given.data.post("/v1/workspaces", &json!({"name": "Source"})).await.expect(201).text("id");
    let bucket = source.replace('_', "-");
    let store = super::s3::store(setting.endpoint(), &bucket, &setting.key);
    let path = object_store::path::Path::from("a.txt");
    for content in ["two bytes", "2"] {
        object_store::ObjectStoreExt::put(&store, &path, content.into()).await.unwrap();
    }
    let files = given.data.get(&format!("/v1/files?workspace_id={source}")).await.expect(200).json();
    let file = files["items"][0]["id"].as_str().unwrap().to_owned();
    house.expect_used(10).await;

    let holder = house.inside(given).await;
    let target = given.workspace.clone();
    let first = "begin; select from workspaces where tenant_id = app_tenant_id() and name <> 'Source' for update";
    holder.run(first).await.unwrap();
    let (data, items) = (given.data.clone(), json!([{"action": "copy", "id": file, "workspace_id": target}]));
    let copying = tokio::spawn(async move { data.post(PATH, &json!({"mode": "all", "items": items})).await });
    let begun = Instant::now();
    while house.rows("select from quota_reservations where expires_at = 'infinity' and not is_block").await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing is reserved");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let object = format!("/{bucket}/a.txt");
    let deleted = setting.request(Method::DELETE, (&object, "versionId=2"), &[]).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    let put = object_store::ObjectStoreExt::put(&store, &path, vec![7; 5_000].into()).await.unwrap();
    assert_eq!(put.version.as_deref(), Some("2"));
    holder.run("rollback").await.unwrap();
    copying.await.unwrap().problem(409, "batch_failed");
    house.expect_used(9 + 5_000).await;
    house.expect_reserved(0).await;
}
