//! The S3-compatible door as people's own tools see it, where they are installed: the AWS CLI, boto3, rclone. Where one is
//! missing its test looks at nothing.

use std::path::Path;
use std::process::Output;

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

fn tree(folder: &Path) {
    for (name, size) in [("a.txt", 10), ("sub/b.bin", 300_000), ("sub/deep er/ü.bin", 9_000_000), ("zero", 0)] {
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
import boto3, io, os, sys
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

#[tokio::test]
async fn rclone_works() {
    let setting = Setting::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    tree(&from);
    let remote = format!(":s3:{}/mirror", setting.bucket());
    let run = async |arguments: &[&str]| -> Option<String> {
        let mut rclone = tool(&setting, "rclone", &["version"]).await?;
        let how = ["--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", setting.endpoint(), "--config", ""];
        Some(succeeded(&rclone.args(arguments).args(how).output().await.unwrap()))
    };
    let Some(_) =
        run(&["sync", from.to_str().unwrap(), &remote, "--s3-chunk-size", "5M", "--s3-upload-cutoff", "5M"]).await
    else {
        return;
    };
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
