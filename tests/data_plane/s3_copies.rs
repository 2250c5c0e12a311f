//! Copies by S3 whose source becomes another one meanwhile: what is copied is what its conditions were held against.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use object_store::ObjectStoreExt;
use object_store::path::Path;
use reqwest::Method;
use rowhouse_database::AdminConnection;
use rowhouse_domain::WorkspaceId;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::s3::Setting;

const WANTED: &str = "the wanted one";
const OTHER: &str = "another one";
/// Copies that are tried: without the guards several of them are of the other content.
const COPIES: usize = 150;

/// Tries copies of `a.txt` on condition that it is the wanted one, until the other side is told to stop. Each that is made must
/// be the wanted one.
async fn copy_many(setting: &Setting, is_over: &AtomicBool) {
    let (store, digest) = (setting.store(), hex::encode(Sha256::digest(WANTED)));
    let source = format!("/{}/a.txt", setting.bucket());
    let condition = format!("\"{digest}\"");
    let headers = [("x-amz-copy-source", &*source), ("x-amz-copy-source-if-match", &*condition)];
    let mut made = 0;
    for number in 0..COPIES {
        let path = format!("/{}/copies/{number}", setting.bucket());
        let answer = setting.request(Method::PUT, (&path, ""), &headers).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        assert!([200, 404, 412].contains(&status), "{status} {text}");
        if status == 200 {
            made += 1;
            assert!(text.contains(&digest), "{text}");
            let copy = store.get(&Path::parse(format!("copies/{number}")).unwrap()).await.unwrap();
            assert_eq!(copy.bytes().await.unwrap(), WANTED, "copy {number}");
        }
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(made > 0, "none was made at all");
}

#[tokio::test]
async fn a_key_that_becomes_another_file_s() {
    let setting = Setting::new().await;
    let given = &setting.given;
    let (wanted, other) = (given.upload("a.txt", WANTED).await, given.upload("b.txt", OTHER).await);
    let is_over = Arc::new(AtomicBool::new(false));
    let (data, over) = (given.data.clone(), Arc::clone(&is_over));
    let swapping = tokio::spawn(async move {
        let rename = |id: &str, name: &str| json!({"action": "update", "id": id, "name": name});
        // One makes room for the other.
        let turns =
            [[rename(&wanted, "c.txt"), rename(&other, "a.txt")], [rename(&other, "b.txt"), rename(&wanted, "a.txt")]];
        for items in turns.iter().cycle() {
            let _ = data.post("/v1/files/batch", &json!({"items": items})).await.expect(200);
            if over.load(Ordering::Relaxed) {
                break;
            }
        }
    });
    copy_many(&setting, &is_over).await;
    swapping.await.unwrap();
}

/// Waits until somebody waits for what this session has locked.
async fn expect_waiting(inside: &AdminConnection) {
    let waiting = "select count(*) from pg_stat_activity where pg_backend_pid() = any(pg_blocking_pids(pid))";
    let begun = Instant::now();
    while inside.query(waiting, &[]).await.unwrap()[0].try_get::<_, i64>(0).unwrap() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody comes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_version_whose_number_is_given_again() {
    let setting = Setting::new().await;
    let (given, store) = (&setting.given, setting.store());
    let elsewhere = given.data.post("/v1/workspaces", &json!({"name": "Elsewhere"})).await.expect(201).text("id");
    let id = elsewhere.parse::<WorkspaceId>().unwrap().as_uuid();
    given.upload("a.txt", "the first one").await;
    let (key, source) = (Path::from("a.txt"), format!("/{}/a.txt", setting.bucket()));
    let condition = format!("\"{}\"", hex::encode(Sha256::digest(WANTED)));
    // A copy waits for the other workspace: to make a folder there, before it reads the version again, and to be recorded, after that.
    for target in ["new/copy", "copy"] {
        assert_eq!(store.put(&key, WANTED.into()).await.unwrap().version.as_deref(), Some("2"));
        let inside = setting.house.inside(given).await;
        inside.run(&format!("begin; select from workspaces where id = '{id}' for update")).await.unwrap();
        let path = format!("/{}/{target}", elsewhere.replace('_', "-"));
        let headers = [("x-amz-copy-source", &*source), ("x-amz-copy-source-if-match", &*condition)];
        let copying = tokio::spawn(setting.request(Method::PUT, (&path, ""), &headers).send());
        expect_waiting(&inside).await;
        let gone = setting.request(Method::DELETE, (&source, "versionId=2"), &[]).send().await.unwrap();
        assert_eq!(gone.status(), 204);
        assert_eq!(store.put(&key, OTHER.into()).await.unwrap().version.as_deref(), Some("2"));
        inside.run("rollback").await.unwrap();
        let answer = copying.await.unwrap().unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert!(status == 404 && text.contains("NoSuchKey"), "{target}: {status} {text}");
        let gone = setting.request(Method::DELETE, (&source, "versionId=2"), &[]).send().await.unwrap();
        assert_eq!(gone.status(), 204);
    }
    setting.house.expect_used(13).await;
    setting.house.expect_reserved(0).await;
}
