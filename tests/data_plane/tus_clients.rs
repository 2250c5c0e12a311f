//! tuspy, a public client of tus, at the resumable uploads.

use tokio::process::Command;

use super::clients::{Client, succeeded};

const TUSPY: &str = r#"
import asyncio, base64, hashlib, os, socket, subprocess, sys, time, urllib.parse
from tusclient import client, exceptions
from tusclient.storage import filestorage
from tusclient.uploader import Uploader

url, key, workspace, folder = sys.argv[1:5]
storage = filestorage.FileStorage(os.path.join(folder, "known.json"))
tus = client.TusClient(url + "/v1/uploads", headers={"Authorization": "Bearer " + key})
path = os.path.join(folder, "body.bin")
told = lambda name, **more: {"workspace_id": workspace, "filename": name, **more}
begin = lambda name, **more: tus.uploader(path, chunk_size=700_000, metadata=told(name), upload_checksum=True, **more)

if sys.argv[5:] == ["killed"]:
    begin("resumed.bin", store_url=True, url_storage=storage).upload(stop_at=1_400_000)
    os.kill(os.getpid(), 9)

body = os.urandom(3_000_000)
open(path, "wb").write(body)

# One piece after another.
begin("pieces.bin").upload()

# A process dies in between, and another one of the same program finds by the file what had become of it.
died = subprocess.run([sys.executable, "-c", os.environ["SCRIPT"], *sys.argv[1:5], "killed"])
assert died.returncode == -9, died
second = begin("resumed.bin", store_url=True, url_storage=storage)
assert second.offset == 1_400_000, second.offset
second.upload()
assert second.get_offset() == len(body)

# A connection breaks within a piece. What of it has come is kept, so that the next one begins in the midst of it.
first = tus.uploader(path, chunk_size=700_000, metadata=told("broken.bin"))
first.upload(stop_at=700_000)
where = urllib.parse.urlparse(first.url)
with socket.create_connection((where.hostname, where.port)) as broken:
    head = f"PATCH {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {key}\r\n"
    head += "Tus-Resumable: 1.0.0\r\n"
    head += "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 700000\r\nContent-Length: 700000\r\n\r\n"
    broken.sendall(head.encode() + body[700_000:1_000_000])
    time.sleep(0.5)
offset = lambda: tus.uploader(path, chunk_size=700_000, url=first.url).offset
deadline = time.monotonic() + 60
while offset() == 700_000 and time.monotonic() < deadline:
    time.sleep(0.1)
assert 700_000 < offset() <= 1_000_000, offset()
# One that does not know of it is told, and asks.
stale = tus.uploader(path, chunk_size=700_000, url=first.url, retries=1, retry_delay=0)
stale.offset = 700_000
stale.upload()
assert stale.offset == len(body)

# What is not as stated is refused, and nothing of it is kept.
class Liar(Uploader):
    CHECKSUM_ALGORITHM_PAIR = ("sha1", lambda piece: hashlib.sha1(b"another"))
liar = Liar(path, client=tus, chunk_size=700_000, metadata=told("lied.bin"), upload_checksum=True)
try:
    liar.upload()
    raise AssertionError("it was taken")
except exceptions.TusUploadFailed as error:
    assert error.status_code == 460, error.status_code
assert liar.get_offset() == 0

# Metadata say what it becomes; a stream will do, and so will nothing.
with open(os.path.join(folder, "note.txt"), "w+b") as note:
    note.write("Zoë".encode())
    words = tus.uploader(file_stream=note, metadata=told("ü, note", filetype="text/markdown"))
    words.upload()
open(os.path.join(folder, "empty"), "wb").close()
empty = tus.uploader(os.path.join(folder, "empty"), metadata=told("empty"))
# Before 1.1.0 `upload` does not begin where there is nothing to send.
empty.set_url(empty.create_url())
empty.upload()

# Three at once.
async def many():
    begin = lambda name: tus.async_uploader(path, chunk_size=1_000_000, metadata=told(name), upload_checksum=True)
    await asyncio.gather(*(begin(f"async-{number}.bin").upload() for number in range(3)))
asyncio.run(many())

# A name that is taken is told before a byte is sent.
try:
    begin("pieces.bin").upload()
    raise AssertionError("it was taken")
except exceptions.TusCommunicationError as error:
    assert error.status_code == 409, error.status_code
print("fine")
"#;

#[tokio::test]
async fn tuspy_works() {
    if !Client::Tuspy.is_here().await {
        return;
    }
    let house = crate::house().await;
    let given = house.tenant().await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = [given.data.base(), given.data.key(), given.workspace.as_str(), folder.path().to_str().unwrap()];
    let mut python = Command::new("python3");
    let output = python.args(["-c", TUSPY]).args(arguments).env("SCRIPT", TUSPY).output().await.unwrap();
    assert_eq!(succeeded(&output).trim(), "fine");
    let path = format!("/v1/files?workspace_id={}&sort=name", given.workspace);
    let files = given.data.get(&path).await.expect(200).json();
    let files = files["items"].as_array().unwrap();
    let names: Vec<&str> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
    let large = ["async-0.bin", "async-1.bin", "async-2.bin", "broken.bin"];
    let expected = [&large[..], &["empty", "pieces.bin", "resumed.bin", "ü, note"]].concat();
    assert_eq!(names, expected);
    let sent = std::fs::read(folder.path().join("body.bin")).unwrap();
    for file in files {
        let content = format!("/v1/files/{}/content", file["id"].as_str().unwrap());
        let content = given.data.get(&content).await.expect(200).bytes;
        match file["name"].as_str().unwrap() {
            "empty" => assert!(content.is_empty()),
            "ü, note" => {
                assert_eq!(content, "Zoë".as_bytes());
                assert_eq!(file["mime_type"], "text/markdown");
            }
            name => assert!(content == sent, "{name} is another content"),
        }
    }
    // All but what was refused for its checksum has ended: that still has its room.
    house.expect_reserved(i64::try_from(sent.len()).unwrap()).await;
}
