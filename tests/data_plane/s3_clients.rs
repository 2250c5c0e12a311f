//! The S3-compatible door as people's own tools see it, where they are installed: the AWS CLI, boto3, rclone. Where one is
//! missing its test looks at nothing.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime};

use tokio::process::Command;

use super::s3::Setting;

/// A tool with the setting's key in its environment; none where it is not installed.
async fn tool(setting: &Setting, program: &str, probe: &[&str]) -> Option<Command> {
    let found = Command::new(program).args(probe).output().await;
    if !found.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let mut command = Command::new(program);
    command
        .env("AWS_ACCESS_KEY_ID", setting.key["prefix"].as_str().unwrap())
        .env("AWS_SECRET_ACCESS_KEY", setting.key["s3_secret"].as_str().unwrap())
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL", setting.endpoint())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_CA_BUNDLE")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .kill_on_drop(true);
    Some(command)
}

fn succeeded(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

const TREE: [(&str, u32); 4] = [("a.txt", 10), ("sub/b.bin", 300_000), ("sub/deep er/ü.bin", 9_000_000), ("zero", 0)];

fn tree(folder: &Path) {
    for (name, size) in TREE {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content: Vec<u8> =
            (0..size).map(|index: u32| index.to_le_bytes()[usize::from(index.is_multiple_of(7))]).collect();
        std::fs::write(path, content).unwrap();
    }
}

fn assert_same(one: &Path, other: &Path) {
    let output = std::process::Command::new("diff").arg("-r").args([one, other]).output().unwrap();
    succeeded(&output);
}

#[tokio::test]
async fn the_aws_cli_works() {
    let setting = Setting::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    tree(&from);
    let url = format!("s3://{}/backup/", setting.bucket());
    let run = async |arguments: &[&str]| -> Option<String> {
        let mut aws = tool(&setting, "aws", &["--version"]).await?;
        Some(succeeded(&aws.args(arguments).output().await.unwrap()))
    };
    let Some(buckets) = run(&["s3", "ls"]).await else { return };
    assert!(buckets.contains(&setting.bucket()), "{buckets}");
    run(&["s3", "sync", from.to_str().unwrap(), &url]).await;
    let again = run(&["s3", "sync", from.to_str().unwrap(), &url]).await.unwrap();
    assert_eq!(again.trim(), "", "a second run has nothing to do");
    let listed = run(&["s3", "ls", "--recursive", &url]).await.unwrap();
    assert_eq!(listed.lines().count(), 4, "{listed}");
    run(&["s3", "sync", &url, to.to_str().unwrap()]).await;
    assert_same(&from, &to);
    let one = format!("{url}a.txt");
    run(&["s3", "cp", &one, &format!("{url}copy.txt")]).await;
    run(&["s3", "mv", &one, &format!("{url}moved.txt")]).await;
    run(&["s3", "rm", "--recursive", &url]).await;
    let bucket = format!("s3://{}/", setting.bucket());
    assert_eq!(run(&["s3", "ls", "--recursive", &bucket]).await.unwrap(), "");
}

const BOTO3: &str = r#"
import boto3, botocore.config, io, os, sys
from botocore.exceptions import ClientError
bucket = sys.argv[1]
client = boto3.client("s3")
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
v4 = boto3.client("s3", config=botocore.config.Config(signature_version="s3v4"))
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
    let setting = Setting::new().await;
    let Some(mut python) = tool(&setting, "python3", &["-c", "import boto3"]).await else { return };
    let output = python.args(["-c", BOTO3, &setting.bucket()]).output().await.unwrap();
    assert_eq!(succeeded(&output).trim(), "fine");
    setting.house.expect_reserved(0).await;
}

/// What rclone says; none where it is not installed.
async fn rclone(setting: &Setting, arguments: &[&str]) -> Option<String> {
    let mut rclone = tool(setting, "rclone", &["version"]).await?;
    let how = ["--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", setting.endpoint(), "--config", ""];
    let parts = ["--s3-chunk-size", "5M", "--s3-upload-cutoff", "5M"];
    Some(succeeded(&rclone.args(arguments).args(how).args(parts).output().await.unwrap()))
}

#[tokio::test]
async fn rclone_works() {
    let setting = Setting::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    tree(&from);
    let remote = format!(":s3:{}/mirror", setting.bucket());
    let run = async |arguments: &[&str]| rclone(&setting, arguments).await;
    let Some(_) = run(&["sync", from.to_str().unwrap(), &remote]).await else { return };
    run(&["check", from.to_str().unwrap(), &remote, "--download"]).await;
    run(&["copy", &remote, to.to_str().unwrap()]).await;
    assert_same(&from, &to);
    run(&["moveto", &format!("{remote}/a.txt"), &format!("{remote}/sub/a.txt")]).await;
    let listed = run(&["lsf", "-R", "--files-only", &remote]).await.unwrap();
    let mut names: Vec<&str> = listed.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["sub/a.txt", "sub/b.bin", "sub/deep er/ü.bin", "zero"]);
    run(&["delete", &format!("{remote}/sub")]).await;
    // Version by version.
    run(&["purge", &remote]).await;
    assert_eq!(run(&["lsf", "-R", "--files-only", &format!(":s3:{}", setting.bucket())]).await.unwrap(), "");
}

/// The times of the files of [`tree`].
fn times(folder: &Path) -> Vec<SystemTime> {
    let time = |name: &&str| std::fs::metadata(folder.join(name)).unwrap().modified().unwrap();
    TREE.iter().map(|(name, _)| name).map(time).collect()
}

#[tokio::test]
async fn rclone_keeps_times() {
    let setting = Setting::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    tree(&from);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::new(981_173_106, 123_456_789);
    for (index, (name, _)) in (0..).zip(TREE) {
        let file = std::fs::File::options().append(true).open(from.join(name)).unwrap();
        file.set_modified(long_ago + Duration::from_secs(index)).unwrap();
    }
    let remote = format!(":s3:{}/mirror", setting.bucket());
    let run = async |arguments: &[&str]| rclone(&setting, arguments).await;
    let Some(_) = run(&["copy", from.to_str().unwrap(), &remote]).await else { return };
    run(&["sync", from.to_str().unwrap(), &remote]).await;
    let versions = async || {
        let path = format!("/v1/files?workspace_id={}&sort=name", setting.given.workspace);
        let files = setting.given.data.get(&path).await.expect(200).json();
        let version = |file: &serde_json::Value| file["version"].as_i64().unwrap();
        files["items"].as_array().unwrap().iter().map(version).collect::<Vec<_>>()
    };
    assert_eq!(versions().await, [1; 4], "the second run has nothing to do");
    run(&["copy", &remote, to.to_str().unwrap()]).await;
    assert_eq!(times(&from), times(&to));
    // A time is set by a copy of the object onto itself, for which nobody reads it.
    setting.house.lose_objects();
    run(&["touch", "--timestamp", "2006-01-02T15:04:05", &format!("{remote}/a.txt")]).await;
    assert_eq!(versions().await, [2, 1, 1, 1]);
    let told = run(&["lsjson", &format!("{remote}/a.txt")]).await.unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let time: jiff::Timestamp = told[0]["ModTime"].as_str().unwrap().parse().unwrap();
    assert_eq!(time.as_second(), 1_136_214_245);
}
