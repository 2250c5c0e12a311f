//! Folders: a tree without rings, bounded, moved and renamed as one row.

use std::time::{Duration, Instant};

use rowhouse_testkit::{Given, TestHouse};
use serde_json::{Value, json};

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
    given.data.patch(&format!("/v1/folders/{a}"), &json!({"parent_id": b})).await.problem(409, "move_into_itself");
    given.data.patch(&format!("/v1/folders/{a}"), &json!({"parent_id": a})).await.problem(409, "move_into_itself");
    let again = json!({"workspace_id": given.workspace, "parent_id": a, "name": "B"});
    given.data.post("/v1/folders", &again).await.problem(409, "name_taken");
}

#[tokio::test]
async fn two_moves_at_once_make_no_ring() {
    let given = crate::house().await.into_tenant().await;
    let (a, b) = (given.folder("a", None).await, given.folder("b", None).await);
    let move_to = async |folder: &str, parent: Value| {
        given.data.patch(&format!("/v1/folders/{folder}"), &json!({ "parent_id": parent })).await.status.as_u16()
    };
    for _ in 0..20 {
        let (one, other) = tokio::join!(move_to(&a, json!(b)), move_to(&b, json!(a)));
        assert_eq!([one, other].into_iter().filter(|status| *status == 200).count(), 1, "{one} and {other}");
        assert_eq!((move_to(&a, Value::Null).await, move_to(&b, Value::Null).await), (200, 200));
    }
}

/// The folders `a`, `a/b` … so many of them, made one in the other.
async fn chain(given: &Given, length: usize) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for level in 0..length {
        ids.push(given.folder(&format!("level {level}"), ids.last().map(String::as_str)).await);
    }
    ids
}

#[tokio::test]
async fn folders_lie_at_most_64_deep_however_they_came_there() {
    let given = crate::house().await.into_tenant().await;
    let ids = chain(&given, 64).await;
    let deeper = json!({"workspace_id": given.workspace, "parent_id": ids[63], "name": "too deep"});
    given.data.post("/v1/folders", &deeper).await.problem(422, "invalid_request");
    // Two of height two: they fit below 62, not below 63.
    let (outer, inner) = (given.folder("outer", None).await, format!("/v1/folders/{}", ids[61]));
    let _ = given.folder("inner", Some(&outer)).await;
    let outer = format!("/v1/folders/{outer}");
    given.data.patch(&outer, &json!({"parent_id": ids[62]})).await.problem(422, "invalid_request");
    let _ = given.data.patch(&outer, &json!({"parent_id": ids[61]})).await.expect(200);

    let ancestors = given.data.get(&format!("{inner}/ancestors")).await.expect(200).json();
    let found: Vec<&str> =
        ancestors["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(found, ids[..61]);
    let top = given.data.get(&format!("/v1/folders/{}/ancestors", ids[0])).await.expect(200).json();
    assert_eq!(top["items"], json!([]));
    given.data.get("/v1/folders/fld_01jd0000000000000000000000/ancestors").await.problem(404, "not_found");
}

/// Puts `count` files into a folder at once, without contents: for what looks at rows only.
pub(crate) async fn fill(house: &TestHouse, given: &Given, folder: &str, count: usize) {
    let id = |text: &str| {
        let (_, id) = text.split_once('_').unwrap();
        format!("fld_{id}").parse::<rowhouse_domain::FolderId>().unwrap().as_uuid()
    };
    let (workspace, folder) = (id(&given.workspace), id(folder));
    let inside = house.inside(given).await;
    inside.run("set session_replication_role = replica").await.unwrap();
    for first in (1..=count).step_by(50_000) {
        let last = count.min(first + 49_999);
        let fill = format!(
            "insert into files (workspace_id, folder_id, name, name_normalized, size, checksum)
             select '{workspace}', '{folder}', n::text, n::text, 1, sha256('') from generate_series({first}, {last}) n"
        );
        inside.run(&fill).await.unwrap();
    }
    inside.run("analyze files").await.unwrap();
}

#[tokio::test]
async fn a_rename_and_a_move_change_one_row_at_any_size() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let (big, other) = (given.folder("big", None).await, given.folder("other", None).await);
    let inner = given.folder("inner", Some(&big)).await;
    fill(&house, &given, &inner, if crate::suite::is_soak() { 1_000_000 } else { 5_000 }).await;
    let inside = house.inside(&given).await;
    let state = "select (select count(distinct xmin::text) from files), (select count(distinct updated_at) from files), (select updated_at::text from folders where name = 'inner')";
    let before = inside.query(state, &[]).await.unwrap();
    let begun = Instant::now();
    let body = json!({"name": "grown", "parent_id": other});
    let _ = given.data.patch(&format!("/v1/folders/{big}"), &body).await.expect(200);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let after = inside.query(state, &[]).await.unwrap();
    for column in 0..2 {
        let count = |row: &tokio_postgres::Row| row.try_get::<_, i64>(column).unwrap();
        assert_eq!(count(&before[0]), count(&after[0]));
    }
    assert_eq!(before[0].try_get::<_, String>(2).unwrap(), after[0].try_get::<_, String>(2).unwrap());
}

#[tokio::test]
async fn a_folder_goes_to_another_workspace_with_its_files_and_their_bytes() {
    let given = crate::house().await.into_tenant().await;
    let other = given.data.post("/v1/workspaces", &json!({"name": "Other"})).await.expect(201).text("id");
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    let upload =
        |folder: &str, name: &str| format!("/v1/files?workspace_id={}&folder_id={folder}&name={name}", given.workspace);
    let file = given.data.upload(&upload(&inner, "deep.txt"), "deep").await.expect(201).text("id");
    let trashed = given.data.upload(&upload(&outer, "old.txt"), "older").await.expect(201).text("id");
    assert!(given.data.delete(&format!("/v1/files/{trashed}")).await.status.is_success());
    let used = async |workspace: &str| {
        given.data.get(&format!("/v1/workspaces/{workspace}")).await.expect(200).json()["used_storage"].as_i64()
    };
    assert_eq!((used(&given.workspace).await, used(&other).await), (Some(9), Some(0)));

    let path = format!("/v1/folders/{outer}");
    let _ = given.data.patch(&format!("/v1/workspaces/{other}"), &json!({"storage_quota": 8})).await.expect(200);
    given.data.patch(&path, &json!({"workspace_id": other})).await.problem(413, "quota_exceeded");
    let _ = given.data.patch(&format!("/v1/workspaces/{other}"), &json!({"storage_quota": 9})).await.expect(200);
    let moved = given.data.patch(&path, &json!({"workspace_id": other})).await.expect(200);
    assert_eq!((moved.text("workspace_id"), moved.json()["parent_id"].is_null()), (other.clone(), true));
    assert_eq!((used(&given.workspace).await, used(&other).await), (Some(0), Some(9)));
    for path in [format!("/v1/folders/{inner}"), format!("/v1/files/{file}")] {
        assert_eq!(given.data.get(&path).await.expect(200).text("workspace_id"), other);
    }
    let content = given.data.get(&format!("/v1/files/{file}/content")).await.expect(200);
    assert_eq!(content.bytes, b"deep");
    let unknown = json!({"workspace_id": "wrk_01jd0000000000000000000000"});
    given.data.patch(&path, &unknown).await.problem(404, "not_found");
}

#[tokio::test]
async fn lists_are_sorted_and_paged() {
    let given = crate::house().await.into_tenant().await;
    let parent = given.folder("parent", None).await;
    for name in ["b", "D", "a", "C"] {
        let _ = given.folder(name, Some(&parent)).await;
    }
    let first = given.data.get(&format!("/v1/folders?parent_id={parent}")).await.expect(200).json();
    let first = first["items"][0]["id"].as_str().unwrap().to_owned();
    let _ = given.data.patch(&format!("/v1/folders/{first}"), &json!({"metadata": {"a": 1}})).await.expect(200);
    let names = async |query: &str| {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/folders?parent_id={parent}&limit=3{query}{cursor}");
            let page = given.data.get(&path).await.expect(200).json();
            let items = page["items"].as_array().unwrap().clone();
            names.extend(items.iter().map(|one| one["name"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return names.concat(),
            }
        }
    };
    for (query, expected) in [
        ("", "bDaC"),
        ("&order=desc", "CaDb"),
        ("&sort=name", "abCD"),
        ("&sort=name&order=desc", "DCba"),
        ("&sort=updated_at", "DaCb"),
        ("&sort=updated_at&order=desc", "bCaD"),
    ] {
        assert_eq!(names(query).await, expected, "{query}");
    }
    given.data.get("/v1/folders?sort=name").await.problem(422, "invalid_request");
    given
        .data
        .get(&format!("/v1/folders?parent_id={parent}&sort=name&cursor=e30"))
        .await
        .problem(400, "malformed_cursor");
}
