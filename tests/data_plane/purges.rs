//! The end of deleted folders and workspaces, and of versions that no rule keeps.

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_testkit::{Answer, Given, TestHouse};
use serde_json::json;

use crate::suite::folder_copies::{fill_with_versions, upload};
use crate::suite::recount::recount;
use crate::suite::trees::ended;

async fn count(house: &TestHouse, given: &Given, table: &str) -> i64 {
    let count = format!("select count(*) from {table} where tenant_id = app_tenant_id()");
    house.tenant_rows(given, &count).await[0].try_get(0).unwrap()
}

async fn delete(given: &Given, path: &str) {
    let status = given.data.delete(path).await.status.as_u16();
    assert!([202, 204].contains(&status), "{path}: {status}");
}

#[tokio::test]
async fn a_deleted_folder_can_be_purged_with_everything_in_it() {
    let house = crate::house_with(|settings| settings.trash.blob_grace = Duration::ZERO).await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    let old = given.folder("old", Some(&outer)).await;
    let oldest = given.folder("oldest", Some(&old)).await;
    for (folder, name) in [(&inner, "a"), (&inner, "b"), (&oldest, "c"), (&outer, "d")] {
        let _ = upload(&given, folder, name, name).await;
    }
    let single = upload(&given, &inner, "single", "single").await;
    let path = format!("/v1/folders/{outer}");
    let purge = format!("{path}?purge=true");
    given.data.delete(&purge).await.problem(409, "invalid_transition");
    // Deleted by themselves before; they go along all the same.
    for path in [format!("/v1/files/{single}"), format!("/v1/folders/{old}"), path.clone()] {
        delete(&given, &path).await;
    }
    given.data.delete(&format!("/v1/folders/{inner}?purge=true")).await.problem(409, "invalid_transition");
    let stale = given.data.request(Method::DELETE, &purge).header("if-match", "\"stale\"");
    Answer::of(stale).await.problem(412, "precondition_failed");
    house.expect_used(10).await;
    let answer = given.data.delete(&purge).await.expect(202);
    let job = ended(&given, answer.header("location")).await;
    assert_eq!((&job["kind"], &job["subject"], &job["state"]), (&json!("purge_tree"), &json!(outer), &json!("done")));
    assert_eq!((&job["done"], &job["total"]), (&json!(9), &json!(9)), "{job}");
    given.data.delete(&purge).await.problem(404, "not_found");
    given.data.post(&format!("{path}/restore"), &json!({})).await.problem(404, "not_found");
    assert_eq!((count(&house, &given, "folders").await, count(&house, &given, "files").await), (0, 0));
    house.expect_used(0).await;
    house.expect_stored_objects(0).await;
    assert_eq!(recount(&house, &given).await, 0);
}

#[tokio::test]
async fn a_deleted_workspace_can_be_purged_with_everything_in_it() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let outer = given.data.post("/v1/workspaces", &json!({"name": "Outer"})).await.expect(201).text("id");
    let nested = json!({"name": "Inner", "parent_workspace_id": outer});
    let inner = given.data.post("/v1/workspaces", &nested).await.expect(201).text("id");
    let before = json!({"name": "Before", "parent_workspace_id": outer});
    let before = given.data.post("/v1/workspaces", &before).await.expect(201).text("id");
    let kept = given.upload("kept", "kept").await;
    for workspace in [&outer, &inner, &before] {
        let _ = given.data.upload(&format!("/v1/files?workspace_id={workspace}&name=a"), "a").await.expect(201);
        let folder = json!({"workspace_id": workspace, "name": "folder"});
        let folder = given.data.post("/v1/folders", &folder).await.expect(201).text("id");
        let path = format!("/v1/files?workspace_id={workspace}&folder_id={folder}&name=b");
        let _ = given.data.upload(&path, "b").await.expect(201);
    }
    house.expect_used(10).await;
    let path = format!("/v1/workspaces/{outer}");
    given.data.delete(&format!("{path}?purge=true")).await.problem(409, "invalid_transition");
    delete(&given, &format!("/v1/workspaces/{before}")).await;
    delete(&given, &path).await;
    given.data.delete(&format!("/v1/workspaces/{inner}?purge=true")).await.problem(409, "invalid_transition");
    let answer = given.data.delete(&format!("{path}?purge=true")).await.expect(202);
    assert_eq!(ended(&given, answer.header("location")).await["state"], "done");
    given.data.post(&format!("{path}/restore"), &json!({})).await.problem(404, "not_found");
    assert_eq!((count(&house, &given, "workspaces").await, count(&house, &given, "files").await), (1, 1));
    let _ = given.data.get(&format!("/v1/files/{kept}")).await.expect(200);
    house.expect_used(4).await;
    assert_eq!(recount(&house, &given).await, 4);
}

#[tokio::test]
async fn the_trash_empties_itself_of_folders_and_workspaces() {
    // Long enough that what is restored at once is restored in time, however slow the machine.
    let house = crate::house_with(|settings| settings.trash.retention = Duration::from_secs(12)).await;
    let given = house.tenant().await;
    let (kept, gone) = (given.folder("kept", None).await, given.folder("gone", None).await);
    let workspace = given.data.post("/v1/workspaces", &json!({"name": "Gone"})).await.expect(201).text("id");
    let _ = given.data.upload(&format!("/v1/files?workspace_id={workspace}&name=a"), "a").await.expect(201);
    for folder in [&kept, &gone] {
        let _ = upload(&given, folder, "a", "four").await;
        delete(&given, &format!("/v1/folders/{folder}")).await;
        if folder == &kept {
            let _ = given.data.post(&format!("/v1/folders/{kept}/restore"), &json!({})).await.expect(200);
        }
    }
    delete(&given, &format!("/v1/workspaces/{workspace}")).await;
    house.expect_used(4).await;
    let begun = Instant::now();
    while (count(&house, &given, "folders").await, count(&house, &given, "workspaces").await) != (1, 1) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let files = given.data.get(&format!("/v1/files?folder_id={kept}")).await.expect(200).json();
    assert_eq!(files["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_purged_is_not_restored_and_what_is_restored_is_whole() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let mut seen = (0, 0);
    for round in 0..12 {
        let folder = given.folder(&format!("folder {round}"), None).await;
        for name in ["a", "b", "c"] {
            let _ = upload(&given, &folder, name, name).await;
        }
        let path = format!("/v1/folders/{folder}");
        delete(&given, &path).await;
        let (purge, restore) = (format!("{path}?purge=true"), format!("{path}/restore"));
        let nothing = json!({});
        // The first two not at once, so that both are seen.
        let (purged, restored) = if round == 0 {
            let purged = given.data.delete(&purge).await;
            (purged, given.data.post(&restore, &nothing).await)
        } else if round == 1 {
            let restored = given.data.post(&restore, &nothing).await;
            (given.data.delete(&purge).await, restored)
        } else if round % 2 == 0 {
            tokio::join!(given.data.delete(&purge), given.data.post(&restore, &nothing))
        } else {
            let (restored, purged) = tokio::join!(given.data.post(&restore, &nothing), given.data.delete(&purge));
            (purged, restored)
        };
        match (purged.status.as_u16(), restored.status.as_u16()) {
            (202, 404 | 410) => {
                seen.0 += 1;
                assert_eq!(ended(&given, purged.header("location")).await["state"], "done");
                given.data.get(&path).await.problem(404, "not_found");
            }
            (409, 200) => {
                seen.1 += 1;
                let files = given.data.get(&format!("/v1/files?folder_id={folder}")).await.expect(200).json();
                assert_eq!(files["items"].as_array().unwrap().len(), 3);
            }
            other => panic!("{other:?}: {} {}", purged.json(), restored.json()),
        }
    }
    assert!(seen.0 > 0 && seen.1 > 0, "{seen:?}");
    house.expect_used(3 * seen.1).await;
    assert_eq!(recount(&house, &given).await, 3 * seen.1);
}

#[tokio::test]
async fn a_purge_goes_on_after_its_service_was_killed() {
    if !crate::suite::is_soak() {
        return;
    }
    let house = crate::house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    fill_with_versions(&house, &given, &inner, 10_000).await;
    let process = house.data_plane_process("").await;
    let data = process.client.with_key(given.data.key());
    let deleted = data.delete(&format!("/v1/folders/{outer}")).await.expect(202);
    assert_eq!(ended(&given, deleted.header("location")).await["state"], "done");
    let answer = data.delete(&format!("/v1/folders/{outer}?purge=true")).await.expect(202);
    let job = answer.header("location").to_owned();
    let begun = Instant::now();
    while given.data.get(&job).await.expect(200).json()["done"] == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not begin");
    }
    process.kill().await;
    let left = recount(&house, &given).await;
    assert!(left > 0, "it was over before its process was");
    let job = ended(&given, &job).await;
    assert_eq!((&job["state"], &job["done"]), (&json!("done"), &json!(10_003)), "{job}");
    house.expect_used(0).await;
    assert_eq!(recount(&house, &given).await, 0);
    assert_eq!((count(&house, &given, "folders").await, count(&house, &given, "files").await), (0, 0));
}

#[tokio::test]
async fn pruning_goes_on_after_its_service_was_killed() {
    if !crate::suite::is_soak() {
        return;
    }
    let house = crate::house().await;
    let given = house.tenant().await;
    let _ = given.upload("original", "ten bytes.").await;
    house.expect_used(10).await;
    let inside = house.inside(&given).await;
    let versions = "
        with versions as (
            insert into file_versions (file_id, version_number, blob_id, size, checksum, mime_type)
            select file_id, n, blob_id, size, checksum, mime_type from file_versions, generate_series(2, 30000) n
        ), current as (
            update files set current_version = 30000
        )
        update workspaces set used_storage = 300000";
    inside.run(versions).await.unwrap();
    for table in ["organizations", "tenants"] {
        house.sql(&format!("update {table} set used_storage = used_storage + 299990")).await;
    }
    let process = house.data_plane_process("").await;
    let data = process.client.with_key(given.data.key());
    let path = format!("/v1/workspaces/{}", given.workspace);
    let _ = data.patch(&path, &json!({"keep_versions": 1})).await.expect(200);
    let begun = Instant::now();
    while recount(&house, &given).await == 300_000 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not begin");
    }
    process.kill().await;
    assert!(recount(&house, &given).await > 10, "it was over before its process was");
    house.expect_used(10).await;
    assert_eq!((recount(&house, &given).await, count(&house, &given, "file_versions").await), (10, 1));
}
