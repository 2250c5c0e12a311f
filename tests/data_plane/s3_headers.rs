//! Headers of a content by S3: those that its sender stated are told with it, unless its reader asks for others.

use std::collections::BTreeMap;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::clients::{Client, succeeded};
use super::s3::{Setting, all};
use super::s3_clients::tool;

const STATED: [(&str, &str); 5] = [
    ("cache-control", "max-age=60"),
    ("content-disposition", "attachment; filename*=UTF-8''%C3%BC.txt"),
    ("content-encoding", "x-own"),
    ("content-language", "de, en"),
    ("expires", "Wed, 21 Oct 2026 07:28:00 GMT"),
];
/// What a request says about itself in the midst of what it says of the content.
const ENCODED: (&str, &str) = ("content-encoding", "aws-chunked,x-own");

fn stated(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    STATED.iter().filter_map(|(name, _)| Some((*name, text(name)?))).collect()
}

fn owned(headers: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

async fn put(setting: &Setting, key: &str, headers: &[(&str, &str)]) -> u16 {
    let path = format!("/{}/{key}", setting.bucket());
    setting.request(Method::PUT, (&path, ""), headers).body("words").send().await.unwrap().status().as_u16()
}

/// What is told of an object, with its content and without.
async fn told(setting: &Setting, key: &str, query: &str) -> Vec<(&'static str, String)> {
    let path = format!("/{}/{key}", setting.bucket());
    let mut told = Vec::new();
    for method in [Method::GET, Method::HEAD] {
        let answer = setting.request(method, (&path, query), &[]).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{key}");
        told.push(stated(answer.headers()));
    }
    assert_eq!(told[0], told[1], "GET and HEAD differ");
    told.remove(0)
}

#[tokio::test]
async fn headers_of_a_content_stay_with_its_version() {
    let setting = Setting::new().await;
    let headers = [&STATED[..2], &[ENCODED, ("x-amz-meta-mtime", "1")], &STATED[3..]].concat();
    assert_eq!(put(&setting, "a", &headers).await, 200);
    assert_eq!(told(&setting, "a", "").await, owned(&STATED));
    assert_eq!(put(&setting, "a", &[("content-encoding", "aws-chunked")]).await, 200);
    assert_eq!(told(&setting, "a", "").await, []);
    assert_eq!(told(&setting, "a", "versionId=1").await, owned(&STATED));

    // The native door tells the two apart.
    let given = &setting.given;
    let files = given.data.get(&format!("/v1/files?workspace_id={}", given.workspace)).await.expect(200).json();
    let versions = format!("/v1/files/{}/versions", files["items"][0]["id"].as_str().unwrap());
    let versions = given.data.get(&versions).await.expect(200).json();
    let (second, first) = (&versions["items"][0], &versions["items"][1]);
    let headers = json!(BTreeMap::from(STATED));
    assert_eq!((&first["user_metadata"], &first["content_headers"]), (&json!({"mtime": "1"}), &headers));
    assert_eq!((&second["user_metadata"], &second["content_headers"]), (&Value::Null, &Value::Null));

    // A copy has its source's, or its own.
    let source = format!("/{}/a?versionId=1", setting.bucket());
    let copy = [("x-amz-copy-source", &*source), ("cache-control", "no-store")];
    assert_eq!(put(&setting, "b", &copy).await, 200);
    assert_eq!(told(&setting, "b", "").await, owned(&STATED));
    assert_eq!(put(&setting, "c", &[&copy[..], &[("x-amz-metadata-directive", "REPLACE")]].concat()).await, 200);
    assert_eq!(told(&setting, "c", "").await, owned(&[("cache-control", "no-store")]));

    // What comes in parts says it at its beginning.
    let path = format!("/{}/d", setting.bucket());
    let begun = setting.request(Method::POST, (&path, "uploads="), &STATED).send().await.unwrap();
    let upload = all(&begun.text().await.unwrap(), "UploadId").pop().unwrap();
    let part = setting.request(Method::PUT, (&path, &format!("partNumber=1&uploadId={upload}")), &[]).body("words");
    assert_eq!(part.send().await.unwrap().status(), 200);
    let named = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>";
    let complete = setting.request(Method::POST, (&path, &format!("uploadId={upload}")), &[]).body(named);
    assert_eq!(complete.send().await.unwrap().status(), 200);
    assert_eq!(told(&setting, "d", "").await, owned(&STATED));
}

#[tokio::test]
async fn a_reader_may_ask_for_others() {
    let setting = Setting::new().await;
    assert_eq!(put(&setting, "a", &STATED).await, 200);
    // Another one in the place of each, and the rest as it was.
    assert_eq!(told(&setting, "a", "response-cache-control=no-store").await[0].1, "no-store");
    let wish = "response-content-disposition=inline&response-content-language=fr";
    let expected = [STATED[0], ("content-disposition", "inline"), STATED[2], ("content-language", "fr"), STATED[4]];
    assert_eq!(told(&setting, "a", wish).await, owned(&expected));
    // What no header can hold is refused, and breaks nothing.
    let path = format!("/{}/a", setting.bucket());
    for name in ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type"] {
        let query = format!("response-{name}=a%0D%0Ax-own%3A%20b");
        let refused = setting.request(Method::GET, (&path, &query), &[]).send().await.unwrap();
        let (status, text) = (refused.status().as_u16(), refused.text().await.unwrap());
        assert!(status == 400 && text.contains("InvalidRequest"), "{name}: {status} {text}");
    }
}

#[tokio::test]
async fn too_much_is_refused_before_it_comes() {
    let setting = Setting::new().await;
    let (fits, too_much) = ("x".repeat(2_048), "x".repeat(2_049));
    assert_eq!(put(&setting, "a", &[("cache-control", &fits)]).await, 200);
    assert_eq!(put(&setting, "b", &[("cache-control", &too_much)]).await, 400);
    setting.house.expect_reserved(0).await;
}

const BOTO3: &str = r#"
import boto3, botocore.config, sys, urllib.request
bucket, door = sys.argv[1:]
client = boto3.client("s3", endpoint_url=door, config=botocore.config.Config(signature_version="s3v4"))
it = {"Bucket": bucket, "Key": "report.csv"}
client.put_object(**it, Body=b"a,b", ContentDisposition="attachment; filename=a.csv", CacheControl="max-age=60", ContentLanguage="de")
head = client.head_object(**it)
told = (head["ContentDisposition"], head["CacheControl"], head["ContentLanguage"], head["Metadata"])
assert told == ("attachment; filename=a.csv", "max-age=60", "de", {}), head
wish = {"ResponseContentDisposition": "attachment; filename=\"Umsätze 2026.csv\"", "ResponseContentType": "text/plain"}
with urllib.request.urlopen(client.generate_presigned_url("get_object", Params=it | wish)) as answer:
    assert answer.read() == b"a,b" and answer.headers["Content-Type"] == "text/plain", answer.headers
    said = answer.headers["Content-Disposition"].encode("latin-1").decode()
    assert said == wish["ResponseContentDisposition"], said
    assert answer.headers["Cache-Control"] == "max-age=60", answer.headers
print("fine")
"#;

#[tokio::test]
async fn boto3_states_headers_and_asks_for_others() {
    if !Client::Boto3.is_here().await {
        return;
    }
    let setting = Setting::new().await;
    let mut python = tool(&setting, "python3");
    let output = python.args(["-c", BOTO3, &setting.bucket(), setting.endpoint()]).output().await.unwrap();
    assert_eq!(succeeded(&output).trim(), "fine");
}
