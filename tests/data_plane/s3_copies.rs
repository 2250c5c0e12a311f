//! Copies by S3 whose source becomes another one meanwhile: what is copied is what its conditions were held against.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use object_store::ObjectStoreExt;
use object_store::path::Path;
use reqwest::Method;
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
    let setting = Arc::new(Setting::new().await);
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

#[tokio::test]
async fn a_version_whose_number_is_given_again() {
    let setting = Arc::new(Setting::new().await);
    setting.given.upload("a.txt", "the first one").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let (rival, over) = (Arc::clone(&setting), Arc::clone(&is_over));
    let replacing = tokio::spawn(async move {
        let (store, path) = (rival.store(), format!("/{}/a.txt", rival.bucket()));
        for content in [WANTED, OTHER].into_iter().cycle() {
            let put = store.put(&Path::from("a.txt"), content.into()).await.unwrap();
            assert_eq!(put.version.as_deref(), Some("2"));
            let deleted = rival.request(Method::DELETE, (&path, "versionId=2"), &[]).send().await.unwrap();
            assert_eq!(deleted.status(), 204);
            if over.load(Ordering::Relaxed) {
                break;
            }
        }
    });
    copy_many(&setting, &is_over).await;
    replacing.await.unwrap();
    crate::suite::recount::recount(&setting.house, &setting.given).await;
}
