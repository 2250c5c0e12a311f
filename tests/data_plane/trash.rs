//! The end of files and of their contents.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_testkit::{Answer, Given, TestHouse};
use serde_json::json;

/// A house that gives contents up at once.
async fn without_grace() -> TestHouse {
    crate::house_with(|settings| settings.trash.blob_grace = Duration::ZERO).await
}

async fn delete(given: &Given, file: &str) {
    let _ = given.data.delete(&format!("/v1/files/{file}")).await.expect(204);
}

async fn purge(given: &Given, file: &str) {
    let _ = given.data.delete(&format!("/v1/files/{file}?purge=true")).await.expect(204);
}

async fn deleted(given: &Given) -> usize {
    let list = given.data.get("/v1/files?deleted=true").await.expect(200).json();
    list["items"].as_array().unwrap().len()
}

/// Has somebody look for what is due.
pub(crate) fn mark(given: &Given) -> String {
    format!("select work_mark('{}')", given.tenant.parse::<rowhouse_domain::TenantId>().unwrap().as_uuid())
}

#[tokio::test]
async fn a_deleted_file_can_be_purged_before_its_time() {
    let house = without_grace().await;
    let given = house.tenant().await;
    let file = given.upload("a.txt", "one").await;
    let put = given.data.request(Method::PUT, &format!("/v1/files/{file}/content")).body("second");
    let _ = Answer::of(put).await.expect(200);
    let path = format!("/v1/files/{file}?purge=true");
    given.data.delete(&path).await.problem(409, "invalid_transition");
    delete(&given, &file).await;
    house.expect_used(9).await;
    let stale = given.data.request(Method::DELETE, &path).header("if-match", "\"stale\"");
    Answer::of(stale).await.problem(412, "precondition_failed");
    purge(&given, &file).await;
    given.data.delete(&path).await.problem(404, "not_found");
    given.data.post(&format!("/v1/files/{file}/restore"), &json!({})).await.problem(404, "not_found");
    assert_eq!(deleted(&given).await, 0);
    let workspace = given.data.get(&format!("/v1/workspaces/{}", given.workspace)).await.expect(200).json();
    assert_eq!(workspace["used_storage"], 0);
    house.expect_used(0).await;
    house.expect_stored_objects(0).await;
    assert!(house.tenant_rows(&given, "select 1 from blobs").await.is_empty());
}

#[tokio::test]
async fn bytes_stay_as_long_as_anybody_has_them() {
    let house = without_grace().await;
    let given = house.tenant().await;
    let files = [given.upload("a", "shared").await, given.upload("b", "shared").await];
    let copy = given.data.post(&format!("/v1/files/{}/copy", files[1]), &json!({"name": "c"})).await;
    let copy = copy.expect(201).text("id");
    for (file, left) in [(&files[0], 12), (&files[1], 6)] {
        delete(&given, file).await;
        purge(&given, file).await;
        house.expect_used(left).await;
    }
    house.sql(&mark(&given)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(given.data.get(&format!("/v1/files/{copy}/content")).await.expect(200).bytes, b"shared");
    delete(&given, &copy).await;
    purge(&given, &copy).await;
    house.expect_used(0).await;
    house.expect_stored_objects(0).await;
}

/// A tenant with more jobs than are ever done: they hold up neither the end of its trash nor that of contents.
#[tokio::test]
async fn the_trash_of_a_tenant_that_always_has_jobs_is_emptied() {
    let house = crate::house_with(|settings| {
        settings.trash.retention = Duration::ZERO;
        settings.trash.blob_grace = Duration::ZERO;
        settings.work.sweep_while_busy = Duration::from_secs(1);
        settings.work.parallel = 2;
    })
    .await;
    let given = house.tenant().await;
    let file = given.upload("a.txt", "five!").await;
    // They have waited longest, so all of them come before what the deletion queues.
    let backlog = "insert into jobs (tenant_id, id, kind, subject_id, run_at)
        select app_tenant_id(), gen_random_uuid(), 'index_file', gen_random_uuid(), now() - interval '1 hour'
        from generate_series(1, 30000) returning 1";
    assert_eq!(house.tenant_rows(&given, backlog).await.len(), 30_000);
    house.sql(&mark(&given)).await;
    delete(&given, &file).await;
    let begun = Instant::now();
    while deleted(&given).await > 0 || house.stored_objects() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(40), "the trash is as it was");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left =
        house.tenant_rows(&given, "select from jobs where state = 'queued' and kind = 'index_file' limit 100").await;
    assert_eq!(left.len(), 100, "the jobs came to an end before");
}

#[tokio::test]
async fn the_trash_empties_itself_after_its_time() {
    let house = crate::house_with(|settings| {
        settings.trash.retention = Duration::from_secs(3);
        settings.trash.blob_grace = Duration::ZERO;
    })
    .await;
    let given = house.tenant().await;
    let (kept, gone) = (given.upload("kept", "kept").await, given.upload("gone", "gone!").await);
    delete(&given, &kept).await;
    delete(&given, &gone).await;
    assert_eq!(deleted(&given).await, 2);
    let _ = given.data.post(&format!("/v1/files/{kept}/restore"), &json!({})).await.expect(200);
    house.expect_used(4).await;
    house.expect_stored_objects(1).await;
    assert_eq!(deleted(&given).await, 0);
    assert_eq!(given.data.get(&format!("/v1/files/{kept}/content")).await.expect(200).bytes, b"kept");
}

#[tokio::test]
async fn contents_outlive_their_files_by_the_grace_period() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = given.upload("a", "content").await;
    delete(&given, &file).await;
    purge(&given, &file).await;
    house.expect_used(0).await;
    let age = "update blobs set unreferenced_since = unreferenced_since - interval '2 days' returning 1";
    // The same bytes again are stored no second time, and stay although nobody had them for so long.
    let again = given.upload("b", "content").await;
    assert_eq!(house.stored_objects(), 1);
    assert_eq!(house.tenant_rows(&given, age).await.len(), 1);
    house.sql(&mark(&given)).await;
    let begun = Instant::now();
    let noted = "select 1 from blobs where unreferenced_since is not null";
    while !house.tenant_rows(&given, noted).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody has looked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(given.data.get(&format!("/v1/files/{again}/content")).await.expect(200).bytes, b"content");
    delete(&given, &again).await;
    purge(&given, &again).await;
    assert_eq!(house.stored_objects(), 1);
    assert_eq!(house.tenant_rows(&given, age).await.len(), 1);
    house.sql(&mark(&given)).await;
    house.expect_stored_objects(0).await;
}

#[tokio::test]
async fn no_content_goes_that_somebody_has_just_come_to_share() {
    let house = crate::house_with(|settings| {
        settings.trash.blob_grace = Duration::ZERO;
        settings.work.poll = Duration::from_millis(5);
    })
    .await;
    let given = Arc::new(house.tenant().await);
    let done = Arc::new(AtomicBool::new(false));
    let sweeping = async {
        while !done.load(Ordering::Acquire) {
            house.sql(&mark(&given)).await;
        }
    };
    let racers = (0..6).map(|racer: usize| {
        let given = Arc::clone(&given);
        async move {
            for round in 0..25 {
                // Half of the time the last one to have the bytes, so that they come and go.
                let file = given.upload(&format!("{racer}-{round}.bin"), "\0the same bytes").await;
                let content = format!("/v1/files/{file}/content");
                assert_eq!(given.data.get(&content).await.expect(200).bytes, b"\0the same bytes");
                let other = if racer.is_multiple_of(2) {
                    let body = json!({"name": format!("{racer}-{round}-copy.bin")});
                    Some(given.data.post(&format!("/v1/files/{file}/copy"), &body).await.expect(201).text("id"))
                } else {
                    let put = given.data.request(Method::PUT, &content).body("\0others");
                    let _ = Answer::of(put).await.expect(200);
                    let restored = given.data.post(&format!("/v1/files/{file}/versions/1/restore"), &json!({})).await;
                    let _ = restored.expect(200);
                    assert_eq!(given.data.get(&content).await.expect(200).bytes, b"\0the same bytes");
                    None
                };
                delete(&given, &file).await;
                purge(&given, &file).await;
                if let Some(other) = other {
                    let bytes = given.data.get(&format!("/v1/files/{other}/content")).await.expect(200).bytes;
                    assert_eq!(bytes, b"\0the same bytes");
                    delete(&given, &other).await;
                    purge(&given, &other).await;
                }
            }
        }
    });
    let racing = async {
        futures::future::join_all(racers).await;
        done.store(true, Ordering::Release);
    };
    tokio::join!(sweeping, racing);
    house.expect_used(0).await;
    house.expect_reserved(0).await;
    house.sql(&mark(&given)).await;
    house.expect_stored_objects(0).await;
}
