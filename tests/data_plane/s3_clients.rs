//! The S3-compatible door as people's own tools see it: the AWS CLI and boto3 here, rclone in `s3_rclone`.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::clients::{Client, succeeded};
use super::s3::Setting;

/// A tool with the setting's key in its environment.
pub(super) fn tool(setting: &Setting, program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("AWS_ACCESS_KEY_ID", setting.key["prefix"].as_str().unwrap())
        .env("AWS_SECRET_ACCESS_KEY", setting.key["s3_secret"].as_str().unwrap())
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_CA_BUNDLE")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .kill_on_drop(true);
    command
}

/// Among them one whose name is another one where it is decoded once too often.
pub(super) const TREE: [(&str, u32); 5] =
    [("a.txt", 10), ("odd +%20&<'#?.txt", 5), ("sub/b.bin", 300_000), ("sub/deep er/ü.bin", 9_000_000), ("zero", 0)];

pub(super) fn tree(folder: &Path) {
    for (name, size) in TREE {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content: Vec<u8> =
            (0..size).map(|index: u32| index.to_le_bytes()[usize::from(index.is_multiple_of(7))]).collect();
        std::fs::write(path, content).unwrap();
    }
}

pub(super) fn assert_same(one: &Path, other: &Path) {
    let output = std::process::Command::new("diff").arg("-r").args([one, other]).output().unwrap();
    succeeded(&output);
}

#[tokio::test]
async fn the_aws_cli_works() {
    if !Client::Aws.is_here().await {
        return;
    }
    let setting = Setting::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    tree(&from);
    let url = format!("s3://{}/backup/", setting.bucket());
    let run = async |arguments: &[&str]| {
        let mut aws = tool(&setting, "aws");
        succeeded(&aws.args(["--endpoint-url", setting.endpoint()]).args(arguments).output().await.unwrap())
    };
    let buckets = run(&["s3", "ls"]).await;
    assert!(buckets.contains(&setting.bucket()), "{buckets}");
    run(&["s3", "sync", from.to_str().unwrap(), &url]).await;
    let again = run(&["s3", "sync", from.to_str().unwrap(), &url]).await;
    assert_eq!(again.trim(), "", "a second run has nothing to do");
    let listed = run(&["s3", "ls", "--recursive", &url]).await;
    assert_eq!(listed.lines().count(), TREE.len(), "{listed}");
    run(&["s3", "sync", &url, to.to_str().unwrap()]).await;
    assert_same(&from, &to);
    let one = format!("{url}a.txt");
    run(&["s3", "cp", &one, &format!("{url}copy.txt")]).await;
    run(&["s3", "mv", &one, &format!("{url}moved.txt")]).await;
    run(&["s3", "rm", "--recursive", &url]).await;
    let bucket = format!("s3://{}/", setting.bucket());
    assert_eq!(run(&["s3", "ls", "--recursive", &bucket]).await, "");
}

#[tokio::test]
async fn the_aws_cli_reads_ranges_and_versions_and_signs() {
    if !Client::Aws.is_here().await {
        return;
    }
    let setting = Setting::new().await;
    let bucket = setting.bucket();
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let run = async |arguments: &[&str]| {
        let mut aws = tool(&setting, "aws");
        succeeded(&aws.args(["--endpoint-url", setting.endpoint()]).args(arguments).output().await.unwrap())
    };
    // One operation of S3 on the object, whose content goes to `to` where one comes.
    let api = async |operation: &str, further: &[&str]| -> Value {
        let printed = run(&[&["s3api", operation, "--bucket", &bucket, "--output", "json"], further].concat()).await;
        serde_json::from_str(if printed.is_empty() { "null" } else { &printed }).unwrap()
    };
    let content = || std::fs::read_to_string(&to).unwrap();
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    for (version, text) in [("1", "one"), ("2", "second")] {
        std::fs::write(from, text).unwrap();
        let put = api("put-object", &["--key", "a b.txt", "--body", from, "--metadata", "color=red"]).await;
        assert_eq!(put["VersionId"], version);
    }
    let key = ["--key", "a b.txt"];
    let head = api("head-object", &[&key[..], &["--checksum-mode", "ENABLED"]].concat()).await;
    assert_eq!((&head["ContentLength"], &head["Metadata"]["color"]), (&json!(6), &json!("red")));
    let sha256 = STANDARD.encode(Sha256::digest("second"));
    assert_eq!((&head["ChecksumSHA256"], &head["ChecksumType"]), (&json!(sha256), &json!("FULL_OBJECT")));
    // It compares what it has read with that.
    let got = api("get-object", &[&key[..], &["--checksum-mode", "ENABLED", to]].concat()).await;
    assert_eq!((&got["ChecksumSHA256"], &*content()), (&json!(sha256), "second"));
    let range = ["--range", "bytes=1-3", "--checksum-mode", "ENABLED", to];
    let part = api("get-object", &[&key[..], &range].concat()).await;
    assert_eq!((&part["ContentRange"], &part["ChecksumSHA256"]), (&json!("bytes 1-3/6"), &Value::Null));
    assert_eq!(content(), "eco");
    api("get-object", &[&key[..], &["--version-id", "1", to]].concat()).await;
    assert_eq!(content(), "one");

    let link = run(&["s3", "presign", &format!("s3://{bucket}/a b.txt"), "--expires-in", "60"]).await;
    assert_eq!(reqwest::get(link.trim()).await.unwrap().text().await.unwrap(), "second");
    let late = run(&["s3", "presign", &format!("s3://{bucket}/a b.txt"), "--expires-in", "1"]).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(reqwest::get(late.trim()).await.unwrap().status(), 403);

    let copied = ["--copy-source", &format!("{bucket}/a b.txt?versionId=1"), "--key", "copy.txt"];
    api("copy-object", &copied).await;
    api("get-object", &["--key", "copy.txt", to]).await;
    assert_eq!(content(), "one");

    let versions = async || {
        let listed = api("list-object-versions", &["--prefix", "a "]).await;
        let versions = listed["Versions"].as_array().unwrap().iter();
        versions.map(|one| (one["VersionId"].clone(), one["IsLatest"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(versions().await, [(json!("2"), json!(true)), (json!("1"), json!(false))]);
    api("delete-object", &[&key[..], &["--version-id", "2"]].concat()).await;
    assert_eq!(versions().await, [(json!("1"), json!(true))]);
    api("get-object", &[&key[..], &[to]].concat()).await;
    assert_eq!(content(), "one");
    setting.house.expect_used(6).await;
}

const BOTO3: &str = r#"
import boto3, botocore.config, io, os, sys
from botocore.exceptions import ClientError
bucket, door = sys.argv[1:]
client = boto3.client("s3", endpoint_url=door)
body = os.urandom(20_000_000)
client.upload_fileobj(io.BytesIO(body), bucket, "dir/large.bin")
out = io.BytesIO()
client.download_fileobj(bucket, "dir/large.bin", out)
assert out.getvalue() == body
first = client.put_object(Bucket=bucket, Key="dir/small.txt", Body=b"one", ContentType="text/plain")
second = client.put_object(Bucket=bucket, Key="dir/small.txt", Body=b"two", ChecksumAlgorithm="SHA256")
assert first["VersionId"] != second["VersionId"]
assert client.get_object(Bucket=bucket, Key="dir/small.txt")["Body"].read() == b"two"
old = client.get_object(Bucket=bucket, Key="dir/small.txt", VersionId=first["VersionId"])
assert old["Body"].read() == b"one"
part = client.get_object(Bucket=bucket, Key="dir/large.bin", Range="bytes=5-9")
assert part["Body"].read() == body[5:10] and part["ResponseMetadata"]["HTTPStatusCode"] == 206
head = client.head_object(Bucket=bucket, Key="dir/small.txt")
assert head["ContentLength"] == 3 and head["ContentType"] == "text/plain", head
pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="dir/", PaginationConfig={"PageSize": 1})
assert [o["Key"] for p in pages for o in p["Contents"]] == ["dir/large.bin", "dir/small.txt"]
versions = client.list_object_versions(Bucket=bucket, Prefix="dir/small")["Versions"]
assert [(v["VersionId"], v["IsLatest"]) for v in versions] == [("2", True), ("1", False)], versions
kept = client.put_object(Bucket=bucket, Key="dir/kept.txt", Body=b"kept")["VersionId"]
late = client.put_object(Bucket=bucket, Key="dir/kept.txt", Body=b"late")["VersionId"]
client.delete_object(Bucket=bucket, Key="dir/kept.txt", VersionId=late)
assert client.get_object(Bucket=bucket, Key="dir/kept.txt")["VersionId"] == kept
client.delete_object(Bucket=bucket, Key="dir/kept.txt", VersionId=kept)
assert "Versions" not in client.list_object_versions(Bucket=bucket, Prefix="dir/kept")
summed = client.get_object(Bucket=bucket, Key="dir/large.bin", ChecksumMode="ENABLED")
import base64, hashlib
assert summed["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
# It compares what it reads with that, and fails where they differ.
assert summed["Body"].read() == body
upload = client.create_multipart_upload(Bucket=bucket, Key="dir/aborted")["UploadId"]
client.upload_part(Bucket=bucket, Key="dir/aborted", UploadId=upload, PartNumber=1, Body=b"x")
assert [u["UploadId"] for u in client.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
assert client.list_parts(Bucket=bucket, Key="dir/aborted", UploadId=upload)["Parts"][0]["Size"] == 1
client.abort_multipart_upload(Bucket=bucket, Key="dir/aborted", UploadId=upload)
assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "dir/small.txt"}, ExpiresIn=60)
import urllib.request
assert urllib.request.urlopen(url).read() == b"two"
client.put_object(Bucket=bucket, Key="said.txt", Body=b"one", Metadata={"Author": "zoe", "mtime": "1.5"})
client.upload_fileobj(io.BytesIO(body), bucket, "said.bin", ExtraArgs={"Metadata": {"mtime": "2.5"}})
told = lambda key, **more: client.head_object(Bucket=bucket, Key=key, **more)["Metadata"]
assert told("said.txt") == {"author": "zoe", "mtime": "1.5"}, told("said.txt")
assert told("said.bin") == {"mtime": "2.5"}, told("said.bin")
assert client.get_object(Bucket=bucket, Key="said.txt")["Metadata"] == told("said.txt")
said = {"Bucket": bucket, "Key": "said.txt"}
client.copy_object(Bucket=bucket, Key="copied.txt", CopySource=said)
assert told("copied.txt") == told("said.txt")
client.copy_object(Bucket=bucket, Key="said.txt", CopySource=said, MetadataDirective="REPLACE", Metadata={"mtime": "3"})
assert told("said.txt") == {"mtime": "3"} and told("said.txt", VersionId="1")["mtime"] == "1.5"
put = {"Bucket": bucket, "Key": "signed.txt", "Metadata": {"mtime": "4"}}
v4 = boto3.client("s3", endpoint_url=door, config=botocore.config.Config(signature_version="s3v4"))
url = v4.generate_presigned_url("put_object", Params=put, ExpiresIn=60)
asked = urllib.request.Request(url, method="PUT", data=b"words", headers={"x-amz-meta-mtime": "4"})
assert urllib.request.urlopen(asked).status == 200 and told("signed.txt") == {"mtime": "4"}
try:
    client.put_object(Bucket=bucket, Key="said.txt", Body=b"", Metadata={"name": "x" * 2045})
    raise AssertionError("it was taken")
except ClientError as error:
    assert error.response["Error"]["Code"] == "MetadataTooLarge", error
client.copy({"Bucket": bucket, "Key": "dir/large.bin"}, bucket, "copy.bin")
assert client.head_object(Bucket=bucket, Key="copy.bin")["ContentLength"] == len(body)
# One connection: an empty body, of which no server asks for more, and one that is waited for.
alone = boto3.client("s3", endpoint_url=door, config=botocore.config.Config(max_pool_connections=1, retries={"total_max_attempts": 1}))
for content in [b"", b"four"]:
    assert alone.put_object(Bucket=bucket, Key="waited.txt", Body=io.BytesIO(content))["ETag"]
odd = "odd/+ %20&<>'#?~ü/a+b.txt"
client.put_object(Bucket=bucket, Key=odd, Body=b"odd")
for listed in [client.list_objects, client.list_objects_v2]:
    assert [o["Key"] for o in listed(Bucket=bucket, Prefix="odd/")["Contents"]] == [odd]
    assert [p["Prefix"] for p in listed(Bucket=bucket, Prefix="odd/", Delimiter="/")["CommonPrefixes"]] == [odd[:-7]]
assert [v["Key"] for v in client.list_object_versions(Bucket=bucket, Prefix="odd/")["Versions"]] == [odd]
assert client.get_object(Bucket=bucket, Key=odd)["Body"].read() == b"odd"
gone = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy.bin"}, {"Key": "dir/large.bin"}]})
assert len(gone["Deleted"]) == 2 and not gone.get("Errors")
try:
    client.get_object(Bucket=bucket, Key="copy.bin")
    raise AssertionError("it is still there")
except ClientError as error:
    assert error.response["Error"]["Code"] == "NoSuchKey", error
print("fine")
"#;

#[tokio::test]
async fn boto3_works() {
    if !Client::Boto3.is_here().await {
        return;
    }
    let setting = Setting::new().await;
    let mut python = tool(&setting, "python3");
    let output = python.args(["-c", BOTO3, &setting.bucket(), setting.endpoint()]).output().await.unwrap();
    assert_eq!(succeeded(&output).trim(), "fine");
    setting.house.expect_reserved(0).await;
}
