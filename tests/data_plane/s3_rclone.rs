//! rclone at the S3-compatible door.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::clients::{Client, succeeded};
use super::s3::Setting;
use super::s3_clients::{TREE, assert_same, tool, tree};

/// A tenant with a bucket and an empty folder; none where rclone is not installed.
async fn begin() -> Option<(Setting, TempDir)> {
    if !Client::Rclone.is_here().await {
        return None;
    }
    Some((Setting::new().await, tempfile::tempdir().unwrap()))
}

/// What rclone prints, given something to read.
async fn rclone_with(setting: &Setting, arguments: &[&str], input: &[u8]) -> String {
    let how = ["--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", setting.endpoint(), "--config", ""];
    let parts = ["--s3-chunk-size", "5M", "--s3-upload-cutoff", "5M", "--retries", "1"];
    let mut rclone = tool(setting, "rclone");
    rclone.args(arguments).args(how).args(parts);
    let mut child = rclone.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).await.unwrap();
    drop(stdin);
    succeeded(&child.wait_with_output().await.unwrap())
}

async fn rclone(setting: &Setting, arguments: &[&str]) -> String {
    rclone_with(setting, arguments, b"").await
}

/// The files of the workspace by name, and the version of each.
async fn versions(setting: &Setting) -> Vec<i64> {
    let path = format!("/v1/files?workspace_id={}&sort=name", setting.given.workspace);
    let files = setting.given.data.get(&path).await.expect(200).json();
    let version = |file: &Value| file["version"].as_i64().unwrap();
    files["items"].as_array().unwrap().iter().map(version).collect()
}

fn sorted(listed: &str) -> Vec<&str> {
    let mut names: Vec<&str> = listed.lines().collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn rclone_works() {
    let Some((setting, folder)) = begin().await else { return };
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    tree(&from);
    let from = from.to_str().unwrap();
    let remote = format!(":s3:{}/mirror", setting.bucket());
    let run = async |arguments: &[&str]| rclone(&setting, arguments).await;
    run(&["sync", from, &remote]).await;
    run(&["check", from, &remote, "--download"]).await;
    // Of what came in parts, rclone keeps the MD5 itself, and compares by it.
    run(&["check", from, &remote]).await;
    let hash = async |of: &str| run(&["md5sum", of, "--include", "ü.bin"]).await;
    assert_eq!(hash(&remote).await, hash(from).await);
    run(&["copy", &remote, to.to_str().unwrap()]).await;
    assert_same(Path::new(from), &to);
    // What it does not find any more is gone there, too.
    std::fs::remove_file(folder.path().join("from/zero")).unwrap();
    run(&["sync", from, &remote]).await;
    // Nothing is read where content only gets another place.
    setting.house.lose_objects();
    run(&["moveto", &format!("{remote}/a.txt"), &format!("{remote}/sub/a.txt")]).await;
    run(&["copy", &format!("{remote}/sub"), &format!("{remote}/copy")]).await;
    let listed = run(&["lsf", "-R", "--files-only", &remote]).await;
    let inner = ["copy/a.txt", "copy/b.bin", "copy/deep er/ü.bin"];
    let expected = [&inner[..], &["odd +%20&<'#?.txt", "sub/a.txt", "sub/b.bin", "sub/deep er/ü.bin"]].concat();
    assert_eq!(sorted(&listed), expected);
    run(&["delete", &format!("{remote}/sub")]).await;
    assert_eq!(run(&["lsf", "-R", "--files-only", &remote]).await.lines().count(), 4);
    // Version by version.
    run(&["purge", &remote]).await;
    assert_eq!(run(&["lsf", "-R", "--files-only", &format!(":s3:{}", setting.bucket())]).await, "");
    setting.house.expect_reserved(0).await;
}

/// The times of the files of [`tree`].
fn times(folder: &Path) -> Vec<SystemTime> {
    let time = |name: &&str| std::fs::metadata(folder.join(name)).unwrap().modified().unwrap();
    TREE.iter().map(|(name, _)| name).map(time).collect()
}

#[tokio::test]
async fn rclone_keeps_times() {
    let Some((setting, folder)) = begin().await else { return };
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    tree(&from);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::new(981_173_106, 123_456_789);
    for (index, (name, _)) in (0..).zip(TREE) {
        let file = std::fs::File::options().append(true).open(from.join(name)).unwrap();
        file.set_modified(long_ago + Duration::from_secs(index)).unwrap();
    }
    let remote = format!(":s3:{}/mirror", setting.bucket());
    let run = async |arguments: &[&str]| rclone(&setting, arguments).await;
    run(&["copy", from.to_str().unwrap(), &remote]).await;
    run(&["sync", from.to_str().unwrap(), &remote]).await;
    assert_eq!(versions(&setting).await, [1; 5], "the second run has nothing to do");
    run(&["copy", &remote, to.to_str().unwrap()]).await;
    assert_eq!(times(&from), times(&to));
    // A time is set by a copy of the object onto itself, for which nobody reads it.
    setting.house.lose_objects();
    run(&["touch", "--timestamp", "2006-01-02T15:04:05", &format!("{remote}/a.txt")]).await;
    assert_eq!(versions(&setting).await, [2, 1, 1, 1, 1]);
    let told = run(&["lsjson", &format!("{remote}/a.txt")]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let time: jiff::Timestamp = told[0]["ModTime"].as_str().unwrap().parse().unwrap();
    assert_eq!(time.as_second(), 1_136_214_245);
}

#[tokio::test]
async fn rclone_keeps_metadata() {
    let Some((setting, folder)) = begin().await else { return };
    let run = async |arguments: &[&str]| rclone(&setting, arguments).await;
    let bucket = format!(":s3:{}", setting.bucket());
    let told = async |name: &str| {
        let told = run(&["lsjson", "--metadata", &format!("{bucket}/{name}")]).await;
        serde_json::from_str::<Value>(&told).unwrap()[0]["Metadata"]["color"].clone()
    };
    // Put at once, and in parts.
    for (name, size) in [("small.bin", 10), ("large.bin", 6_000_000)] {
        let from = folder.path().join(name);
        std::fs::write(&from, vec![0; size]).unwrap();
        run(&["copy", from.to_str().unwrap(), &bucket, "--metadata", "--metadata-set", "color=red"]).await;
        assert_eq!(told(name).await, "red");
        run(&["copyto", &format!("{bucket}/{name}"), &format!("{bucket}/copied"), "--metadata"]).await;
        assert_eq!(told("copied").await, "red");
    }
}

#[tokio::test]
async fn rclone_sees_versions() {
    let Some((setting, folder)) = begin().await else { return };
    let folder = folder.path().to_str().unwrap();
    let remote = format!(":s3:{}/notes", setting.bucket());
    let put = async |content: &'static str| {
        rclone_with(&setting, &["rcat", &format!("{remote}/a.txt")], content.as_bytes()).await
    };
    put("one").await;
    let between = jiff::Timestamp::now().to_string();
    put("two").await;
    let run = async |arguments: &[&str]| rclone(&setting, arguments).await;
    assert_eq!(run(&["cat", &format!("{remote}/a.txt")]).await, "two");
    assert_eq!(run(&["cat", &remote, "--s3-version-at", &between]).await, "one");
    // An old one has its time in its name.
    run(&["copy", &remote, folder, "--s3-versions"]).await;
    let mut copied: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    copied.sort_unstable();
    assert_eq!(copied, ["one", "two"]);
    let bucket = format!(":s3:{}", setting.bucket());
    assert_eq!(run(&["backend", "versioning", &bucket]).await.trim(), "Enabled");
    run(&["backend", "cleanup-hidden", &bucket]).await;
    assert_eq!(run(&["lsf", &remote, "--s3-versions"]).await, "a.txt\n");
    setting.house.expect_used(3).await;
}

#[tokio::test]
async fn rclone_streams_and_links() {
    let Some((setting, _)) = begin().await else { return };
    let run = async |arguments: &[&str]| rclone(&setting, arguments).await;
    let file = format!(":s3:{}/large.bin", setting.bucket());
    // Of a length that nobody says, and so in parts.
    let content: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    rclone_with(&setting, &["rcat", &file], &content).await;
    assert_eq!(run(&["cat", &file, "--offset", "196", "--count", "4"]).await.as_bytes(), 49u32.to_le_bytes());
    let link = run(&["link", "--expire", "1h", &file]).await;
    let linked = reqwest::get(link.trim()).await.unwrap();
    assert_eq!(linked.status(), 200);
    assert!(linked.bytes().await.unwrap() == content, "the link leads to another content");
    // What was begun and never ended can be found and cleaned up.
    let begun = format!("/{}/begun.bin", setting.bucket());
    let begun = setting.request(reqwest::Method::POST, (&begun, "uploads="), &[]).send().await.unwrap();
    assert_eq!(begun.status(), 200);
    let bucket = format!(":s3:{}", setting.bucket());
    let uploads = async || run(&["backend", "list-multipart-uploads", &bucket]).await.matches("begun.bin").count();
    assert_eq!(uploads().await, 1);
    run(&["backend", "cleanup", &bucket, "-o", "max-age=0s"]).await;
    assert_eq!(uploads().await, 0);
    setting.house.expect_reserved(0).await;
}

/// Names that people have, and that rclone has to write in another way where they could be none here.
#[tokio::test]
async fn rclone_finds_odd_names() {
    let Some((setting, folder)) = begin().await else { return };
    let names =
        ["a+b", "p%20q", "quo'te\"", "semi;colon=", "star*", "日本 😀", " lead", "end ", "back\\slash", "li\nne"];
    for name in names {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("content"), name).unwrap();
    }
    let (from, remote) = (folder.path().to_str().unwrap(), format!(":s3:{}/odd", setting.bucket()));
    let run = async |arguments: &[&str]| {
        let encoding = ["--s3-encoding", "Slash,BackSlash,Ctl,Del,LeftSpace,RightSpace,Dot,InvalidUtf8"];
        rclone(&setting, &[arguments, &encoding].concat()).await
    };
    run(&["sync", from, &remote]).await;
    for version in ["1", "2"] {
        for is_encoded in ["true", "false"] {
            let how = ["--s3-list-version", version, "--s3-list-url-encode", is_encoded, "--s3-list-chunk", "3"];
            run(&[&["check", "--download", from, &remote], &how[..]].concat()).await;
            run(&[&["check", "--download", "--s3-versions", from, &remote], &how[..]].concat()).await;
        }
    }
}
