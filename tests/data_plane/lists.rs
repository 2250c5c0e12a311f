//! Lists of files: in every order, by tag and metadata, page by page.

use rowhouse_testkit::Given;
use serde_json::{Value, json};

/// The names of all pages of two.
async fn names(given: &Given, parameters: &str) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/files?workspace_id={}&limit=2&{parameters}{cursor}", given.workspace);
        let page = given.data.get(&path).await.expect(200).json();
        names.extend(page["items"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return names,
        }
    }
}

async fn five_files(given: &Given) -> Vec<String> {
    let mut files = Vec::new();
    for (name, content) in [("b.txt", "22"), ("A.txt", "333"), ("d.txt", "1"), ("c.txt", "22"), ("e.txt", "")] {
        files.push(given.upload(name, content).await);
    }
    let label = |id: &str, body: Value| {
        let path = format!("/v1/files/{id}");
        async move { given.data.patch(&path, &body).await.expect(200) }
    };
    let _ =
        label(&files[2], json!({"tags": ["red", "big one"], "metadata": {"year": 2026, "by": {"name": "Ada"}}})).await;
    let _ = label(&files[0], json!({"tags": ["red"], "metadata": {"year": 2025}})).await;
    files
}

#[tokio::test]
async fn a_list_goes_by_what_is_asked_for() {
    let given = crate::house().await.into_tenant().await;
    five_files(&given).await;
    for (parameters, expected) in [
        ("sort=name", "A b c d e"),
        ("sort=name&order=desc", "e d c b A"),
        ("sort=size", "e d b c A"),
        ("sort=size&order=desc", "A c b d e"),
        ("sort=created_at", "b A d c e"),
        ("order=desc", "e c d A b"),
        ("sort=updated_at", "A c e d b"),
        ("sort=updated_at&order=desc&folder_id=root", "b d e c A"),
        ("tag=red", "b d"),
        ("tag=red&sort=name&order=desc", "d b"),
        ("tag=big%20one", "d"),
        ("tag=big", ""),
        ("metadata=%7B%22year%22%3A2025%7D", "b"),
        ("metadata=%7B%22by%22%3A%7B%22name%22%3A%22Ada%22%7D%7D&tag=red", "d"),
        ("metadata=%7B%22year%22%3A%222025%22%7D", ""),
        ("deleted=true&sort=name", ""),
    ] {
        let found: Vec<String> = names(&given, parameters).await.iter().map(|name| name.replace(".txt", "")).collect();
        assert_eq!(found.join(" "), expected, "{parameters}");
    }
}

#[tokio::test]
async fn a_place_is_listed_in_every_order() {
    let given = crate::house().await.into_tenant().await;
    let folder = given.folder("a", None).await;
    five_files(&given).await;
    for (name, content) in [("z.txt", "333"), ("Y.txt", "1"), ("x.txt", "22"), ("w.txt", "22")] {
        let path = format!("/v1/files?workspace_id={}&folder_id={folder}&name={name}", given.workspace);
        let _ = given.data.upload(&path, content).await.expect(201);
    }
    for (place, sort, expected) in [
        ("root", "name", "A b c d e"),
        ("root", "size", "e d b c A"),
        ("root", "updated_at", "A c e d b"),
        ("root", "created_at", "b A d c e"),
        (&*folder, "name", "w x Y z"),
        (&folder, "size", "Y x w z"),
        (&folder, "updated_at", "z Y x w"),
        (&folder, "created_at", "z Y x w"),
    ] {
        let mut expected: Vec<String> = expected.split(' ').map(|name| format!("{name}.txt")).collect();
        assert_eq!(names(&given, &format!("folder_id={place}&sort={sort}")).await, expected, "{place} by {sort}");
        expected.reverse();
        let down = names(&given, &format!("folder_id={place}&sort={sort}&order=desc")).await;
        assert_eq!(down, expected, "{place} by {sort}, downwards");
    }
    // Another workspace's folder has nothing of this one.
    let other = given.data.post("/v1/workspaces", &json!({"name": "Other"})).await.expect(201).text("id");
    let path = format!("/v1/files?workspace_id={other}&folder_id={folder}&sort=size");
    assert_eq!(given.data.get(&path).await.expect(200).json()["items"], json!([]));
}

#[tokio::test]
async fn a_cursor_is_of_one_order_and_one_place() {
    let given = crate::house().await.into_tenant().await;
    let files = five_files(&given).await;
    let page = given.data.get("/v1/files?sort=name&limit=2").await.expect(200).json();
    let cursor = page["next_cursor"].as_str().unwrap();
    for parameters in ["sort=size", "sort=name&order=desc", "sort=updated_at", "order=asc"] {
        given.data.get(&format!("/v1/files?{parameters}&cursor={cursor}")).await.problem(400, "malformed_cursor");
    }
    for (parameters, status, code) in [
        ("sort=colour", 400, "malformed_request"),
        ("metadata=1", 422, "invalid_request"),
        ("metadata=%7B", 422, "invalid_request"),
        ("metadata=%7B%22a%22%3A%22%5Cu0000%22%7D", 422, "invalid_request"),
        ("folder_id=root&sort=name", 422, "invalid_request"),
    ] {
        let answer = given.data.get(&format!("/v1/files?{parameters}")).await;
        if code == "malformed_request" {
            assert!([400, 422].contains(&answer.status.as_u16()), "{parameters}");
        } else {
            answer.problem(status, code);
        }
    }
    let _ = given.data.delete(&format!("/v1/files/{}", files[1])).await.expect(204);
    assert_eq!(names(&given, "sort=name").await, ["b.txt", "c.txt", "d.txt", "e.txt"]);
    assert_eq!(names(&given, "sort=name&deleted=true").await, ["A.txt"]);
}
