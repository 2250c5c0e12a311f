//! Folders with what lies in them, deleted and restored: at once, by a job, and while the job is at it.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_testkit::{Answer, Given, TestHouse};
use serde_json::{Value, json};

use crate::suite::folders::fill;

/// The job, once it has ended.
pub(crate) async fn ended(given: &Given, job: &str) -> Value {
    let begun = Instant::now();
    loop {
        let view = given.data.get(job).await.expect(200).json();
        if !["queued", "running"].contains(&view["state"].as_str().unwrap()) {
            return view;
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "{view}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many live files a list of the folder shows, page by page.
async fn count_files(given: &Given, folder: &str) -> usize {
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let path = format!("/v1/files?folder_id={folder}&limit=200{cursor}");
        let page = given.data.get(&path).await.expect(200).json();
        count += page["items"].as_array().unwrap().len();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return count,
        }
    }
}

async fn upload(given: &Given, folder: &str, name: &str) -> String {
    let path = format!("/v1/files?workspace_id={}&folder_id={folder}&name={name}", given.workspace);
    given.data.upload(&path, name.to_owned()).await.expect(201).text("id")
}

#[tokio::test]
async fn restoring_brings_back_exactly_what_went_along() {
    let given = crate::house().await.into_tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    let old = given.folder("old", Some(&outer)).await;
    let (kept, before) = (upload(&given, &inner, "kept.txt").await, upload(&given, &inner, "before.txt").await);
    let rescued = upload(&given, &outer, "rescued.txt").await;
    for path in [format!("/v1/files/{before}"), format!("/v1/folders/{old}"), format!("/v1/folders/{outer}")] {
        let _ = given.data.delete(&path).await.expect(204);
    }
    // The trash shows what was deleted by itself.
    let trash = given.data.get("/v1/folders?deleted=true").await.expect(200).json();
    let ids: Vec<&str> = trash["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [outer.as_str(), old.as_str()]);
    let alone = format!("/v1/folders/{inner}/restore");
    given.data.post(&alone, &json!({})).await.problem(409, "invalid_transition");
    let out = given.data.post(&format!("/v1/files/{rescued}/restore"), &json!({})).await.expect(200);
    assert!(out.json()["folder_id"].is_null());

    let restored = given.data.post(&format!("/v1/folders/{outer}/restore"), &json!({})).await.expect(200);
    assert_eq!(restored.text("id"), outer);
    for path in [format!("/v1/folders/{inner}"), format!("/v1/files/{kept}"), format!("/v1/files/{rescued}")] {
        let _ = given.data.get(&path).await.expect(200);
    }
    for path in [format!("/v1/folders/{old}"), format!("/v1/files/{before}")] {
        given.data.get(&path).await.problem(404, "not_found");
    }
    given.data.post(&format!("/v1/folders/{outer}/restore"), &json!({})).await.problem(409, "invalid_transition");
    given.data.post("/v1/folders/fld_01jd0000000000000000000000/restore", &json!({})).await.problem(404, "not_found");
}

#[tokio::test]
async fn what_is_restored_finds_a_place() {
    let given = crate::house().await.into_tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    for folder in [&inner, &outer] {
        let _ = given.data.delete(&format!("/v1/folders/{folder}")).await.expect(204);
    }
    // Where it lay is gone: it comes to the top. Its name is in use there: that is for the caller to settle.
    let other = given.folder("Inner", None).await;
    let restore = format!("/v1/folders/{inner}/restore");
    given.data.post(&restore, &json!({})).await.problem(409, "name_taken");
    let _ = given.data.patch(&format!("/v1/folders/{other}"), &json!({"name": "Other"})).await.expect(200);
    assert!(given.data.post(&restore, &json!({})).await.expect(200).json()["parent_id"].is_null());
}

#[tokio::test]
async fn a_large_folder_is_deleted_and_restored_by_jobs() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    let file = upload(&given, &inner, "a.txt").await;
    fill(&house, &given, &inner, 3_500).await;
    let deleted = given.data.delete(&format!("/v1/folders/{outer}")).await.expect(202);
    given.data.get(&format!("/v1/files/{file}")).await.problem(404, "not_found");
    let job = ended(&given, deleted.header("location")).await;
    let about = (job["kind"].as_str(), job["subject"].as_str(), job["state"].as_str());
    assert_eq!(about, (Some("delete_tree"), Some(outer.as_str()), Some("done")), "{job}");
    assert_eq!((job["done"].as_i64(), job["total"].as_i64()), (Some(3_503), Some(3_503)), "{job}");
    assert!(job["finished_at"].is_string(), "{job}");

    let restored = given.data.post(&format!("/v1/folders/{outer}/restore"), &json!({})).await.expect(202);
    let job = ended(&given, restored.header("location")).await;
    assert_eq!((job["state"].as_str(), job["done"].as_i64()), (Some("done"), Some(3_502)), "{job}");
    assert_eq!(count_files(&given, &inner).await, 3_501);
    given.data.get("/v1/jobs/job_01jd0000000000000000000000").await.problem(404, "not_found");
}

/// Its only worker is busy for some seconds with the first file that is uploaded.
pub(crate) async fn slow_house(folder: &std::path::Path) -> TestHouse {
    let slow = folder.join("slow");
    std::fs::write(&slow, "#!/bin/sh\nexec sleep 6\n").unwrap();
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755)).unwrap();
    crate::house_with(|settings| {
        settings.work.parallel = 1;
        settings.work.extractor = slow;
    })
    .await
}

#[tokio::test]
async fn nobody_sees_or_changes_what_a_job_has_yet_to_delete() {
    let scripts = tempfile::tempdir().unwrap();
    let house = slow_house(scripts.path()).await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("walrus", Some(&outer)).await;
    let file = upload(&given, &inner, "walrus.txt").await;
    fill(&house, &given, &inner, 1_500).await;
    let busy = Instant::now();
    let deleted = given.data.delete(&format!("/v1/folders/{outer}")).await.expect(202);
    let job = deleted.header("location").to_owned();

    let (file, folder) = (format!("/v1/files/{file}"), format!("/v1/folders/{inner}"));
    for path in
        [&file, &folder, &format!("{file}/content"), &format!("{file}/versions"), &format!("{folder}/ancestors")]
    {
        given.data.get(path).await.problem(404, "not_found");
    }
    for path in [&file, &folder] {
        given.data.patch(path, &json!({"name": "other"})).await.problem(404, "not_found");
        given.data.delete(path).await.problem(404, "not_found");
    }
    let into = format!("/v1/files?workspace_id={}&folder_id={inner}&name=new.txt", given.workspace);
    given.data.upload(&into, "new").await.problem(404, "not_found");
    let put = given.data.request(Method::PUT, &format!("{file}/content")).body("new");
    Answer::of(put).await.problem(404, "not_found");
    for path in ["/v1/files", "/v1/folders", "/v1/search?q=walrus", "/v1/search?q=walrus&mode=fuzzy"] {
        let list = given.data.get(path).await.expect(200).json();
        assert_eq!(list["items"], json!([]), "{path}");
    }
    assert_eq!(given.data.get(&job).await.expect(200).text("state"), "queued", "after {:?}", busy.elapsed());
    assert_eq!(ended(&given, &job).await["state"], "done");
}

#[tokio::test]
async fn a_deletion_can_be_taken_back_before_it_has_begun() {
    let scripts = tempfile::tempdir().unwrap();
    let house = slow_house(scripts.path()).await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    let _ = upload(&given, &inner, "a.txt").await;
    fill(&house, &given, &inner, 1_500).await;
    let deleted = given.data.delete(&format!("/v1/folders/{outer}")).await.expect(202);
    let restored = given.data.post(&format!("/v1/folders/{outer}/restore"), &json!({})).await.expect(202);
    // Its name is taken from now on, and it is there when it is whole.
    let again = json!({"workspace_id": given.workspace, "name": "outer"});
    given.data.post("/v1/folders", &again).await.problem(409, "name_taken");
    assert_eq!(ended(&given, restored.header("location")).await["state"], "done");
    assert_eq!(ended(&given, deleted.header("location")).await["state"], "cancelled");
    assert_eq!(count_files(&given, &inner).await, 1_501);
}

#[tokio::test]
async fn a_deletion_can_be_taken_back_while_it_is_under_way() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    fill(&house, &given, &inner, 12_000).await;
    let path = format!("/v1/folders/{outer}");
    let restore = format!("{path}/restore");
    for pause in [0, 100, 300, 600] {
        let deleted = given.data.delete(&path).await.expect(202);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let restored = given.data.post(&restore, &json!({})).await.expect(202);
        // Until it is whole, it is not there.
        let begun = Instant::now();
        while given.data.get(&path).await.status == 404 {
            let seen = given.data.get("/v1/files").await.expect(200).json();
            // It may have become whole between the two looks.
            if given.data.get(&path).await.status == 404 {
                assert_eq!(seen["items"], json!([]));
            }
            assert!(begun.elapsed() < Duration::from_secs(60));
        }
        assert_eq!(count_files(&given, &inner).await, 12_000, "after {pause} ms");
        assert_eq!(ended(&given, restored.header("location")).await["state"], "done");
        let first = ended(&given, deleted.header("location")).await;
        assert!(["done", "cancelled"].contains(&first["state"].as_str().unwrap()), "{first}");
    }
}

#[tokio::test]
async fn a_deletion_goes_on_after_its_service_was_killed() {
    if !crate::suite::is_soak() {
        return;
    }
    let house = crate::house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    fill(&house, &given, &outer, 100_000).await;
    let process = house.data_plane_process("").await;
    let data = process.client.with_key(given.data.key());
    let deleted = data.delete(&format!("/v1/folders/{outer}")).await.expect(202);
    let job = deleted.header("location").to_owned();
    let begun = Instant::now();
    while given.data.get(&job).await.expect(200).json()["done"] == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not begin");
    }
    process.kill().await;
    let before = given.data.get(&job).await.expect(200).json();
    assert_eq!(given.data.get("/v1/files").await.expect(200).json()["items"], json!([]), "{before}");
    let job = ended(&given, &job).await;
    assert_eq!((job["state"].as_str(), job["done"].as_i64()), (Some("done"), Some(100_001)), "{job}");
    let live =
        house.inside(&given).await.query("select count(*) from files where deleted_at is null", &[]).await.unwrap();
    assert_eq!(live[0].try_get::<_, i64>(0).unwrap(), 0);
}
