//! User metadata of S3 (`x-amz-meta-…`): it stays with the version that it came with, whatever becomes of that.

use std::collections::BTreeMap;

use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutResult,
};
use reqwest::Method;
use rowhouse_testkit::Given;
use serde_json::{Value, json};

use super::s3::Setting;

fn said(pairs: &[(&'static str, &str)]) -> Attributes {
    pairs.iter().map(|(name, value)| (Attribute::Metadata((*name).into()), (*value).to_owned())).collect()
}

async fn put(setting: &Setting, key: &str, content: &'static str, pairs: &[(&'static str, &str)]) -> PutResult {
    let options = PutOptions::from(said(pairs));
    setting.store().put_opts(&Path::parse(key).unwrap(), content.into(), options).await.unwrap()
}

/// What `HEAD` tells of an object, or of a version of it.
async fn head(setting: &Setting, key: &str, version: Option<&str>) -> BTreeMap<String, String> {
    ask(setting, key, GetOptions { version: version.map(str::to_owned), head: true, ..GetOptions::default() }).await
}

/// What is told of it, with its content and without.
async fn told(setting: &Setting, key: &str, version: Option<&str>) -> BTreeMap<String, String> {
    let with = ask(setting, key, GetOptions { version: version.map(str::to_owned), ..GetOptions::default() }).await;
    assert_eq!(with, head(setting, key, version).await, "GET and HEAD differ");
    with
}

async fn ask(setting: &Setting, key: &str, options: GetOptions) -> BTreeMap<String, String> {
    let found = setting.store().get_opts(&Path::parse(key).unwrap(), options).await.unwrap().attributes;
    let pairs = found.iter().filter_map(|(name, value)| {
        let Attribute::Metadata(name) = name else { return None };
        Some((name.to_string(), value.to_string()))
    });
    pairs.collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn file(given: &Given, name: &str) -> Value {
    let files = given.data.get(&format!("/v1/files?workspace_id={}", given.workspace)).await.expect(200).json();
    files["items"].as_array().unwrap().iter().find(|file| file["name"] == name).unwrap().clone()
}

#[tokio::test]
async fn what_is_said_of_a_content_stays_with_its_version() {
    let setting = Setting::new().await;
    let given = &setting.given;
    put(&setting, "a.txt", "one", &[("mtime", "1.5"), ("Author", "Zoë")]).await;
    // What is not ASCII is told as S3 does (RFC 2047).
    let author = ("author", "=?UTF-8?B?Wm/Dqw==?=");
    assert_eq!(told(&setting, "a.txt", None).await, map(&[("mtime", "1.5"), author]));
    let id = file(given, "a.txt").await["id"].as_str().unwrap().to_owned();
    let _ = given.data.patch(&format!("/v1/files/{id}"), &json!({"metadata": {"year": 2026}})).await.expect(200);

    // A put replaces all of it, and a content from another door has none.
    put(&setting, "a.txt", "two", &[("mtime", "2")]).await;
    put(&setting, "a.txt", "three", &[]).await;
    put(&setting, "a.txt", "four", &[("mtime", "4")]).await;
    let content = given.data.request(Method::PUT, &format!("/v1/files/{id}/content")).body("five");
    assert_eq!(content.send().await.unwrap().status(), 200);
    let expected = [&[("mtime", "1.5"), author][..], &[("mtime", "2")], &[], &[("mtime", "4")], &[]];
    for (index, pairs) in expected.iter().enumerate() {
        assert_eq!(told(&setting, "a.txt", Some(&(index + 1).to_string())).await, map(pairs), "version {}", index + 1);
    }
    assert_eq!(told(&setting, "a.txt", None).await, map(&[]));

    // The native door tells it of each version, and the file's own is another thing.
    let versions = given.data.get(&format!("/v1/files/{id}/versions")).await.expect(200).json();
    let shown: Vec<_> =
        versions["items"].as_array().unwrap().iter().map(|version| version["user_metadata"].clone()).collect();
    let oldest = json!({"mtime": "1.5", "author": "Zoë"});
    assert_eq!(shown, [Value::Null, json!({"mtime": "4"}), Value::Null, json!({"mtime": "2"}), oldest.clone()]);
    let one = given.data.get(&format!("/v1/files/{id}/versions/1")).await.expect(200).json();
    assert_eq!(one["user_metadata"], oldest);
    assert_eq!(file(given, "a.txt").await["metadata"], json!({"year": 2026}));

    // With the current version the one before it is current again, as it was.
    let object = format!("/{}/a.txt", setting.bucket());
    let gone = setting.request(Method::DELETE, (&object, "versionId=5"), &[]).send().await.unwrap();
    assert_eq!(gone.status(), 204);
    assert_eq!(told(&setting, "a.txt", None).await, map(&[("mtime", "4")]));
}

#[tokio::test]
async fn it_goes_along_with_copies_and_restored_versions() {
    let setting = Setting::new().await;
    let given = &setting.given;
    put(&setting, "in/a.txt", "one", &[("mtime", "1")]).await;
    put(&setting, "in/a.txt", "two", &[]).await;
    let source = file(given, "a.txt").await;
    let (id, folder) = (source["id"].as_str().unwrap(), source["folder_id"].as_str().unwrap());
    let copy = json!({"name": "b.txt", "version": 1});
    let _ = given.data.post(&format!("/v1/files/{id}/copy"), &copy).await.expect(201);
    let items = json!({"items": [{"action": "copy", "id": id, "name": "c.txt", "version": 1},
        {"action": "copy", "id": id, "name": "d.txt"}]});
    let _ = given.data.post("/v1/files/batch", &items).await.expect(200);
    let _ = given.data.post(&format!("/v1/folders/{folder}/copy"), &json!({"name": "out"})).await.expect(201);
    let _ = given.data.post(&format!("/v1/files/{id}/versions/1/restore"), &json!({})).await.expect(200);
    for key in ["in/a.txt", "in/b.txt", "in/c.txt", "out/b.txt", "out/c.txt"] {
        assert_eq!(told(&setting, key, None).await, map(&[("mtime", "1")]), "{key}");
    }
    for key in ["in/d.txt", "out/a.txt", "out/d.txt"] {
        assert_eq!(told(&setting, key, None).await, map(&[]), "{key}");
    }
}

#[tokio::test]
async fn a_copy_has_its_source_s_or_its_own() {
    let setting = Setting::new().await;
    put(&setting, "a.txt", "words", &[("mtime", "1"), ("kept", "yes")]).await;
    let source = format!("/{}/a.txt", setting.bucket());
    let copy = async |to: &str, headers: &[(&str, &str)]| {
        let (path, source) = (format!("/{}/{to}", setting.bucket()), [("x-amz-copy-source", &*source)]);
        let answer = setting.request(Method::PUT, (&path, ""), &[&source, headers].concat()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let replace = ("x-amz-metadata-directive", "REPLACE");
    // Nobody could read it now: no byte moves.
    setting.house.lose_objects();
    assert_eq!(copy("b.txt", &[("x-amz-metadata-directive", "COPY"), ("x-amz-meta-mtime", "9")]).await.0, 200);
    assert_eq!(copy("c.txt", &[("x-amz-meta-mtime", "9")]).await.0, 200);
    assert_eq!(copy("d.txt", &[replace, ("x-amz-meta-mtime", "2")]).await.0, 200);
    assert_eq!(copy("e.txt", &[replace]).await.0, 200);
    // As rclone sets times.
    assert_eq!(copy("a.txt", &[replace, ("x-amz-meta-mtime", "3"), ("content-type", "text/plain")]).await.0, 200);
    let own = [("mtime", "1"), ("kept", "yes")];
    let expected: [(&str, &[(&str, &str)]); 5] =
        [("a.txt", &[("mtime", "3")]), ("b.txt", &own), ("c.txt", &own), ("d.txt", &[("mtime", "2")]), ("e.txt", &[])];
    for (key, pairs) in expected {
        assert_eq!(head(&setting, key, None).await, map(pairs), "{key}");
    }
    assert_eq!(head(&setting, "a.txt", Some("1")).await, map(&own));
    let (status, text) = copy("f.txt", &[("x-amz-metadata-directive", "MERGE")]).await;
    assert!(status == 400 && text.contains("InvalidArgument"), "{status} {text}");
    assert_eq!(crate::suite::recount::recount(&setting.house, &setting.given).await, 6 * 5);
}

#[tokio::test]
async fn a_copy_with_another_type_has_its_own() {
    let setting = Setting::new().await;
    put(&setting, "a", "words", &[("mtime", "1")]).await;
    let (path, source) = (format!("/{}/b", setting.bucket()), format!("/{}/a", setting.bucket()));
    let headers = [
        ("content-type", "text/x-log"),
        ("x-amz-copy-source", &source),
        ("x-amz-meta-mtime", "2"),
        ("x-amz-metadata-directive", "REPLACE"),
    ];
    assert_eq!(setting.request(Method::PUT, (&path, ""), &headers).send().await.unwrap().status(), 200);
    assert_eq!(told(&setting, "b", None).await, map(&[("mtime", "2")]));
}

#[tokio::test]
async fn an_upload_in_parts_has_what_was_said_at_its_beginning() {
    let setting = Setting::new().await;
    let (store, key) = (setting.store(), Path::parse("large.bin").unwrap());
    // As much as may be said, of what takes most room as JSON.
    let quotes = "\"".repeat(2_048 - "mtime1.5q".len());
    let options = PutMultipartOptions::from(said(&[("mtime", "1.5"), ("q", &quotes)]));
    let mut upload = store.put_multipart_opts(&key, options).await.unwrap();
    upload.put_part(vec![1; 5 << 20].into()).await.unwrap();
    upload.put_part(vec![2; 10].into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(told(&setting, "large.bin", None).await, map(&[("mtime", "1.5"), ("q", &quotes)]));
    // The next one says nothing.
    let mut upload = store.put_multipart(&key).await.unwrap();
    upload.put_part(vec![3; 10].into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(told(&setting, "large.bin", None).await, map(&[]));
}

#[tokio::test]
async fn too_much_is_refused_before_it_comes() {
    let setting = Setting::new().await;
    let (path, fits, too_much) = (format!("/{}/a", setting.bucket()), "x".repeat(2_044), "x".repeat(2_045));
    let put = async |method: Method, query: &str, name: &str, value: &str| {
        let answer = setting.request(method, (&path, query), &[(name, value)]).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(put(Method::PUT, "", "x-amz-meta-name", &fits).await.0, 200);
    assert_eq!(told(&setting, "a", None).await, map(&[("name", &fits)]));
    for (method, query) in [(Method::PUT, ""), (Method::POST, "uploads=")] {
        let (status, text) = put(method, query, "x-amz-meta-name", &too_much).await;
        assert!(status == 400 && text.contains("MetadataTooLarge"), "{status} {text}");
    }
    // An encoded word that holds a NUL, which PostgreSQL takes in no text.
    let (status, text) = put(Method::PUT, "", "x-amz-meta-name", "=?UTF-8?B?AA==?=").await;
    assert!(status == 400 && text.contains("InvalidArgument"), "{status} {text}");
    setting.house.expect_reserved(0).await;
}

#[tokio::test]
async fn presigned_puts_may_say_something_too() {
    let setting = Setting::new().await;
    let address =
        setting.presigned(&Method::PUT, &format!("/{}/in.txt", setting.bucket()), &[("x-amz-meta-mtime", "7")]);
    let put = reqwest::Client::new().put(address).header("x-amz-meta-mtime", "7").body("words");
    assert_eq!(put.send().await.unwrap().status(), 200);
    assert_eq!(told(&setting, "in.txt", None).await, map(&[("mtime", "7")]));
}
