//! Buckets made and removed through the S3-compatible door, with boto3 and the AWS CLI.

use super::clients::{Client, succeeded};
use super::s3::{Setting, make_key};
use super::s3_clients::tool;

const BOTO3: &str = r#"
import boto3, sys, threading
from botocore.exceptions import ClientError
door, poor_key, poor_secret = sys.argv[1:]
client = boto3.client("s3", endpoint_url=door)
poor = boto3.client("s3", endpoint_url=door, aws_access_key_id=poor_key, aws_secret_access_key=poor_secret)
def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        raise AssertionError(code)
names = lambda: [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
refused("NoSuchBucket", client.put_object, Bucket="reports-2026", Key="a/b.txt", Body=b"x")
refused("AccessDenied", poor.create_bucket, Bucket="reports-2026")
client.create_bucket(Bucket="reports-2026")
assert "reports-2026" in names()
for somebody in [client, poor]:
    refused("BucketAlreadyOwnedByYou", somebody.create_bucket, Bucket="reports-2026")
refused("InvalidBucketName", client.create_bucket, Bucket="Reports.2026")
client.put_object(Bucket="reports-2026", Key="a/b.txt", Body=b"x")
refused("AccessDenied", poor.delete_bucket, Bucket="reports-2026")
refused("BucketNotEmpty", client.delete_bucket, Bucket="reports-2026")
assert client.get_object(Bucket="reports-2026", Key="a/b.txt")["Body"].read() == b"x"
client.delete_object(Bucket="reports-2026", Key="a/b.txt")
client.delete_bucket(Bucket="reports-2026")
assert "reports-2026" not in names()
refused("NoSuchBucket", client.delete_bucket, Bucket="reports-2026")
# Of many at once one makes it.
outcomes = []
def make():
    try:
        client.create_bucket(Bucket="at-once")
        outcomes.append("made")
    except ClientError as error:
        outcomes.append(error.response["Error"]["Code"])
threads = [threading.Thread(target=make) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert sorted(outcomes) == ["BucketAlreadyOwnedByYou"] * 5 + ["made"], outcomes
assert names().count("at-once") == 1
try:
    for number in range(100):
        client.create_bucket(Bucket=f"one-more-{number}")
    raise AssertionError("there was no end of them")
except ClientError as error:
    assert error.response["Error"]["Code"] == "TooManyBuckets", error
print("fine")
"#;

#[tokio::test]
async fn buckets_are_made_and_removed_as_workspaces() {
    if !Client::Boto3.is_here().await {
        return;
    }
    let mut setting = Setting::new().await;
    let poor = make_key(&setting.house, &setting.given, &["read_files", "write_files"]).await;
    setting.key = make_key(&setting.house, &setting.given, &["read_files", "write_files", "manage_workspaces"]).await;
    let mut python = tool(&setting, "python3");
    let text = |name: &str| poor[name].as_str().unwrap();
    let output =
        python.args(["-c", BOTO3, setting.endpoint(), text("prefix"), text("s3_secret")]).output().await.unwrap();
    assert_eq!(succeeded(&output).trim(), "fine");
}

#[tokio::test]
async fn a_bucket_that_holds_a_workspace_is_not_empty() {
    if !Client::Aws.is_here().await {
        return;
    }
    let mut setting = Setting::new().await;
    setting.key = make_key(&setting.house, &setting.given, &["read_files", "write_files", "manage_workspaces"]).await;
    let run = async |arguments: &[&str]| {
        let mut aws = tool(&setting, "aws");
        aws.args(["--endpoint-url", setting.endpoint()]).args(arguments).output().await.unwrap()
    };
    succeeded(&run(&["s3", "mb", "s3://outer"]).await);
    let listed = setting.given.data.get("/v1/workspaces?limit=200").await.expect(200).json();
    let outer = listed["items"].as_array().unwrap().iter().find(|one| one["name"] == "outer").unwrap();
    let inner = serde_json::json!({"name": "inner", "parent_workspace_id": outer["id"]});
    let inner = setting.given.data.post("/v1/workspaces", &inner).await.expect(201);
    let refused = run(&["s3", "rb", "s3://outer"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("BucketNotEmpty"), "{refused:?}");
    let _ = setting.given.data.delete(&format!("/v1/workspaces/{}", inner.text("id"))).await.expect(204);
    // What `rb --force` removes first is keys; a folder that is left over is none.
    succeeded(&run(&["s3api", "put-object", "--bucket", "outer", "--key", "folder/in it/a.txt"]).await);
    succeeded(&run(&["s3", "rb", "--force", "s3://outer"]).await);
    let listed = succeeded(&run(&["s3", "ls"]).await);
    assert!(!listed.contains("outer"), "{listed}");
}
