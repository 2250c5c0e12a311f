//! Folders copied with what lies in them: at once, by a job, and while the job is at it.

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_testkit::{Answer, Given, TestHouse};
use serde_json::{Value, json};

use crate::suite::parked::{heal, poison};
use crate::suite::recount::recount;
use crate::suite::trees::ended;

pub(crate) async fn upload(given: &Given, folder: &str, name: &str, content: &str) -> String {
    let path = format!("/v1/files?workspace_id={}&folder_id={folder}&name={name}", given.workspace);
    given.data.upload(&path, content.to_owned()).await.expect(201).text("id")
}

async fn list(given: &Given, path: &str) -> Vec<Value> {
    let page = given.data.get(path).await.expect(200).json();
    page["items"].as_array().unwrap().clone()
}

pub(crate) async fn live_files(house: &TestHouse, given: &Given) -> i64 {
    let count = "select count(*) from files where tenant_id = app_tenant_id() and deleted_at is null";
    house.tenant_rows(given, count).await[0].try_get(0).unwrap()
}

/// Files that share one content of ten bytes, with their versions, as if they had been uploaded.
pub(crate) async fn fill_with_versions(house: &TestHouse, given: &Given, folder: &str, count: usize) {
    let _ = upload(given, folder, "original", "ten bytes.").await;
    house.expect_used(10).await;
    let id = folder.parse::<rowhouse_domain::FolderId>().unwrap().as_uuid();
    let inside = house.inside(given).await;
    let fill = format!(
        "with original as (
             select * from files where name = 'original' limit 1
         ), made as (
             insert into files (workspace_id, folder_id, name, name_normalized, mime_type, size, checksum)
             select workspace_id, '{id}', 'n' || n, 'n' || n, mime_type, size, checksum from original, generate_series(1, {count}) n
             returning id
         ), versions as (
             insert into file_versions (file_id, version_number, blob_id, size, checksum, mime_type)
             select made.id, 1, blob_id, size, checksum, mime_type from made,
                 (select version.* from file_versions version join original on original.id = version.file_id) version
             returning size
         )
         update workspaces set used_storage = used_storage + (select sum(size) from versions)
         where id = (select workspace_id from original)"
    );
    inside.run(&fill).await.unwrap();
    inside.run("analyze files").await.unwrap();
    // What stands in no event is told to the platform by hand.
    let more = count * 10;
    house.sql(&format!("update organizations set used_storage = used_storage + {more}")).await;
    house.sql(&format!("update tenants set used_storage = used_storage + {more}")).await;
}

#[tokio::test]
async fn a_folder_is_copied_with_everything_in_it() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    let _ = given.folder("empty", Some(&inner)).await;
    let gone = given.folder("gone", Some(&outer)).await;
    let file = upload(&given, &inner, "a.txt", "first").await;
    let put = given.data.request(Method::PUT, &format!("/v1/files/{file}/content")).body("second version");
    let _ = Answer::of(put).await.expect(200);
    let labels = json!({"tags": ["red", "blue"], "metadata": {"year": 2026}});
    let _ = given.data.patch(&format!("/v1/files/{file}"), &labels).await.expect(200);
    let _ = given.data.patch(&format!("/v1/folders/{outer}"), &json!({"metadata": {"n": 1}})).await.expect(200);
    let trashed = upload(&given, &outer, "b.txt", "b").await;
    for path in [format!("/v1/files/{trashed}"), format!("/v1/folders/{gone}")] {
        let _ = given.data.delete(&path).await.expect(204);
    }
    let path = format!("/v1/folders/{outer}/copy");
    given.data.post(&path, &json!({})).await.problem(409, "name_taken");
    let once = || given.data.request(Method::POST, &path).header("idempotency-key", "k").json(&json!({"name": "copy"}));
    let copy = Answer::of(once()).await.expect(201);
    let id = copy.text("id");
    assert_eq!(copy.header("location"), format!("/v1/folders/{id}"));
    assert_eq!((&copy.json()["name"], &copy.json()["metadata"]), (&json!("copy"), &json!({"n": 1})));
    assert_eq!(Answer::of(once()).await.expect(201).text("id"), id);

    let folders = list(&given, &format!("/v1/folders?workspace_id={}&parent_id={id}", given.workspace)).await;
    assert_eq!(folders.iter().map(|one| &one["name"]).collect::<Vec<_>>(), ["inner"]);
    assert_eq!(list(&given, &format!("/v1/files?folder_id={id}")).await, Vec::<Value>::new());
    let inner_copy = folders[0]["id"].as_str().unwrap();
    let deepest = list(&given, &format!("/v1/folders?workspace_id={}&parent_id={inner_copy}", given.workspace)).await;
    assert_eq!(deepest[0]["name"], "empty");
    let files = list(&given, &format!("/v1/files?folder_id={inner_copy}")).await;
    let made = &files[0];
    assert_eq!(
        (&made["name"], &made["version"], &made["tags"], &made["metadata"], files.len()),
        (&json!("a.txt"), &json!(1), &json!(["red", "blue"]), &json!({"year": 2026}), 1)
    );
    let content = format!("/v1/files/{}/content", made["id"].as_str().unwrap());
    assert_eq!(given.data.get(&content).await.expect(200).bytes, b"second version");
    assert_eq!(house.stored_objects(), 3);
    house.expect_used(5 + 14 + 1 + 14).await;
    house.expect_reserved(0).await;
    assert_eq!(recount(&house, &given).await, 34);
}

#[tokio::test]
async fn a_folder_is_copied_where_it_may() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    let _ = upload(&given, &inner, "a", "ten bytes.").await;
    let path = format!("/v1/folders/{outer}/copy");
    for parent in [&outer, &inner] {
        given.data.post(&path, &json!({"parent_id": parent})).await.problem(409, "move_into_itself");
    }
    let small = given.data.post("/v1/workspaces", &json!({"name": "Small", "storage_quota": 9})).await;
    let small = small.expect(201).text("id");
    let problem = given.data.post(&path, &json!({"workspace_id": small})).await.problem(413, "quota_exceeded");
    assert_eq!(problem["level"], "workspace");
    let tenant = format!("/v1/tenants/{}", given.tenant);
    let _ = house.admin.patch(&tenant, &json!({"storage_quota": 19})).await.expect(200);
    let problem = given.data.post(&path, &json!({"name": "x"})).await.problem(413, "quota_exceeded");
    assert_eq!(problem["level"], "tenant");
    let _ = house.admin.patch(&tenant, &json!({"storage_quota": null})).await.expect(200);
    let mut deep = given.folder("deep", None).await;
    for _ in 0..61 {
        deep = given.folder("deeper", Some(&deep)).await;
    }
    let _ = given.data.post(&path, &json!({"parent_id": deep})).await.expect(201);
    let below = given.folder("below", Some(&deep)).await;
    given.data.post(&path, &json!({"parent_id": below})).await.problem(422, "invalid_request");
    for (body, status, code) in [
        (json!({"workspace_id": rowhouse_domain::WorkspaceId::new().to_string()}), 404, "not_found"),
        (json!({"parent_id": rowhouse_domain::FolderId::new().to_string()}), 404, "not_found"),
        (json!({"workspace_id": small, "parent_id": deep}), 404, "not_found"),
        (json!({"name": "../x"}), 422, "invalid_request"),
    ] {
        // The small workspace has room for an empty one only.
        let _ = given.data.patch(&format!("/v1/workspaces/{small}"), &json!({"storage_quota": null})).await.expect(200);
        given.data.post(&path, &body).await.problem(status, code);
    }
    let copy = given.data.post(&path, &json!({"workspace_id": small})).await.expect(201).json();
    assert_eq!((&copy["workspace_id"], &copy["parent_id"]), (&json!(small), &json!(null)));
    house.expect_used(30).await;
    house.expect_reserved(0).await;
    assert_eq!(recount(&house, &given).await, 30);
}

#[tokio::test]
async fn a_large_folder_is_copied_by_a_job() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    fill_with_versions(&house, &given, &inner, 3_500).await;
    let _ = upload(&given, &outer, "b", "ten bytes!").await;
    let answer = given.data.post(&format!("/v1/folders/{outer}/copy"), &json!({"name": "copy"})).await.expect(202);
    let job = ended(&given, answer.header("location")).await;
    assert_eq!((&job["kind"], &job["state"]), (&json!("copy_tree"), &json!("done")), "{job}");
    assert_eq!((&job["done"], &job["total"]), (&json!(3_504), &json!(3_504)), "{job}");
    let copy = given.data.get(&format!("/v1/folders/{}", job["subject"].as_str().unwrap())).await.expect(200);
    assert_eq!(copy.text("name"), "copy");
    assert_eq!(live_files(&house, &given).await, 2 * 3_502);
    assert_eq!(house.stored_objects(), 2);
    let id = |folder: &str| folder.parse::<rowhouse_domain::FolderId>().unwrap().as_uuid();
    // Each has been told to search, or already is in there.
    let untold = format!(
        "select 1 from files where tenant_id = app_tenant_id() and folder_id not in ('{}', '{}')
            and not exists (select from jobs where kind in ('index_file', 'index_label') and subject_id = files.id)
            and not exists (select from file_search where file_id = files.id) limit 1",
        id(&outer),
        id(&inner)
    );
    let begun = Instant::now();
    while !house.tenant_rows(&given, &untold).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(90), "search does not learn of all of them");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    house.expect_used(2 * 35_020).await;
    house.expect_reserved(0).await;
    assert_eq!(recount(&house, &given).await, 2 * 35_020);
}

#[tokio::test]
async fn a_copy_that_finds_no_room_after_all_leaves_nothing() {
    let house = stubborn_house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    fill_with_versions(&house, &given, &inner, 2_500).await;
    get_stuck_at_the_end_of(&house, &given, &inner).await;
    let other = given.data.post("/v1/workspaces", &json!({"name": "Other"})).await.expect(201).text("id");
    let wish = json!({"workspace_id": other});
    let answer = given.data.post(&format!("/v1/folders/{outer}/copy"), &wish).await.expect(202);
    let begun = Instant::now();
    while live_files(&house, &given).await != 2_502 + 2_000 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not come so far");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let quota = json!({"storage_quota": 20_005});
    let _ = given.data.patch(&format!("/v1/workspaces/{other}"), &quota).await.expect(200);
    let job = ended(&given, answer.header("location")).await;
    assert_eq!(job["state"], "failed", "{job}");
    assert!(job["error"].as_str().unwrap().contains("no room"), "{job}");
    given.data.get(&format!("/v1/folders/{}", job["subject"].as_str().unwrap())).await.problem(404, "not_found");
    assert_eq!(live_files(&house, &given).await, 2_502);
    house.expect_used(25_016).await;
    house.expect_reserved(0).await;
    assert_eq!(recount(&house, &given).await, 25_016);
    let left = house.tenant_rows(&given, "select id from folders where tenant_id = app_tenant_id()").await;
    assert_eq!(left.len(), 3);
}

/// A house that tries a job again and again.
async fn stubborn_house() -> TestHouse {
    crate::house_with(|settings| settings.work.max_attempts = 1_000).await
}

/// Puts something behind all that lies in the folder at which a copy of it fails until that is healed.
async fn get_stuck_at_the_end_of(house: &TestHouse, given: &Given, folder: &str) {
    let last = given.folder("last", Some(folder)).await;
    let _ = upload(given, &last, "poison", "poison").await;
    poison(house, given).await;
}

#[tokio::test]
async fn a_copy_that_is_cancelled_leaves_nothing() {
    let house = stubborn_house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    fill_with_versions(&house, &given, &outer, 1_500).await;
    get_stuck_at_the_end_of(&house, &given, &outer).await;
    let answer = given.data.post(&format!("/v1/folders/{outer}/copy"), &json!({"name": "copy"})).await.expect(202);
    let begun = Instant::now();
    while live_files(&house, &given).await != 1_502 + 1_000 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not come so far");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let cancel = format!("{}/cancel", answer.header("location"));
    let cancelled = given.data.post(&cancel, &json!({})).await.expect(202);
    assert_eq!(cancelled.header("location"), answer.header("location"));
    let job = ended(&given, answer.header("location")).await;
    assert_eq!(job["state"], "cancelled", "{job}");
    assert!(job["error"].as_str().unwrap().contains("nothing of it was kept"), "{job}");
    assert_eq!(live_files(&house, &given).await, 1_502);
    house.expect_used(15_016).await;
    house.expect_reserved(0).await;
    assert_eq!(recount(&house, &given).await, 15_016);
    given.data.post(&cancel, &json!({})).await.problem(409, "invalid_transition");
    heal(&house, &given).await;
    let deleted = given.data.delete(&format!("/v1/folders/{outer}")).await.expect(202);
    let cancel = format!("{}/cancel", deleted.header("location"));
    given.data.post(&cancel, &json!({})).await.problem(409, "invalid_transition");
}

#[tokio::test]
async fn what_is_copied_is_not_deleted_meanwhile_and_nobody_sees_half_of_it() {
    let house = stubborn_house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    let place = given.folder("place", None).await;
    fill_with_versions(&house, &given, &inner, 1_500).await;
    get_stuck_at_the_end_of(&house, &given, &inner).await;
    let answer = given.data.post(&format!("/v1/folders/{outer}/copy"), &json!({"parent_id": place})).await.expect(202);
    let view = answer.json();
    let copy = format!("/v1/folders/{}", view["subject"].as_str().unwrap());
    let other = given.data.post("/v1/workspaces", &json!({"name": "Other"})).await.expect(201).text("id");
    let outcomes = [
        given.data.get(&copy).await,
        given.data.delete(&format!("/v1/folders/{outer}")).await,
        given.data.delete(&format!("/v1/folders/{place}")).await,
        given.data.patch(&format!("/v1/folders/{place}"), &json!({"workspace_id": other})).await,
        given.data.delete(&format!("/v1/workspaces/{}", given.workspace)).await,
    ];
    let statuses = outcomes.map(|outcome| outcome.status.as_u16());
    assert_eq!(statuses, [404, 409, 409, 409, 409]);
    heal(&house, &given).await;
    assert_eq!(ended(&given, answer.header("location")).await["state"], "done");
    let _ = given.data.get(&copy).await.expect(200);
    let _ = given.data.delete(&format!("/v1/folders/{outer}")).await.expect(202);
}

#[tokio::test]
async fn a_copy_goes_on_after_its_service_was_killed() {
    if !crate::suite::is_soak() {
        return;
    }
    let house = crate::house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    fill_with_versions(&house, &given, &outer, 60_000).await;
    let process = house.data_plane_process("").await;
    let data = process.client.with_key(given.data.key());
    let answer = data.post(&format!("/v1/folders/{outer}/copy"), &json!({"name": "copy"})).await.expect(202);
    let job = answer.header("location").to_owned();
    let begun = Instant::now();
    while given.data.get(&job).await.expect(200).json()["done"] == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not begin");
    }
    process.kill().await;
    let before = given.data.get(&job).await.expect(200).json();
    let job = ended(&given, &job).await;
    assert_eq!((&job["state"], &job["done"]), (&json!("done"), &json!(60_002)), "{before} {job}");
    assert_eq!(live_files(&house, &given).await, 120_002);
    house.expect_used(1_200_020).await;
    house.expect_reserved(0).await;
    assert_eq!(recount(&house, &given).await, 1_200_020);
}

/// What somebody waits for is not kept waiting by what merely has to be done, and keeps it waiting one at a time.
#[tokio::test]
async fn one_copy_goes_before_thousands_of_files_that_wait_to_be_indexed() {
    const WAITING: i64 = 20_000;
    let house = crate::house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    fill_with_versions(&house, &given, &outer, 1_500).await;
    let inside = house.inside(&given).await;
    // A worker somewhere else is at another copy, and a file that was changed ever so often has waited for longer.
    let busy = format!(
        "insert into jobs (kind, state, locked_by, locked_until) values ('copy_tree', 'running', 'it', now() + interval '1 hour');
        insert into jobs (kind, subject_id, run_at)
        select 'index_file', id, now() - interval '1 minute' from files, generate_series(1, {WAITING}) where name = 'original';
        analyze jobs"
    );
    inside.run(&busy).await.unwrap();
    let left = async || {
        let left = "select count(*) from jobs where kind = 'index_file' and state = 'queued'";
        inside.query(left, &[]).await.unwrap()[0].try_get::<_, i64>(0).unwrap()
    };
    let answer = given.data.post(&format!("/v1/folders/{outer}/copy"), &json!({"name": "copy"})).await.expect(202);
    let job = answer.header("location").to_owned();
    let begun = Instant::now();
    while left().await > WAITING - 100 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is done");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(given.data.get(&job).await.expect(200).json()["state"], "queued");
    inside.run("delete from jobs where locked_by = 'it'").await.unwrap();
    let job = ended(&given, &job).await;
    let left = left().await;
    inside.run("delete from jobs where kind = 'index_file'").await.unwrap();
    assert_eq!(job["state"], "done", "{job}");
    assert!(left > WAITING / 2, "{left} are left");
    // Nothing of it was lost on the way.
    assert_eq!(live_files(&house, &given).await, 3_002);
}
