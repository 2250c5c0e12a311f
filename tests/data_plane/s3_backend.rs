//! Contents in a bucket, of a public S3 server that checks signatures.

use std::net::SocketAddr;
use std::path::Path;

use reqwest::Method;
use rowhouse_testkit::{Answer, Client, DataPlaneProcess, Given, TestHouse};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

const ACCESS_KEY: &str = "ROWHOUSETESTKEY";
const SECRET: &str = "a-secret-of-a-test";
const BUCKET: &str = "houses";

/// A bucket, and a data plane that keeps contents there.
struct Place {
    folder: TempDir,
    process: DataPlaneProcess,
}

impl Place {
    async fn new(house: &TestHouse, further: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let address = serve(folder.path()).await;
        let settings = format!(
            "blobs.backend = \"s3\"\nblobs.endpoint = \"http://{address}\"\nblobs.allow_http = true\nblobs.bucket = \"{BUCKET}\"\n{further}"
        );
        let environment = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET)];
        Self { folder, process: house.data_plane_process_in(&environment, &settings).await }
    }

    fn client(&self, given: &Given) -> Client {
        self.process.client.with_key(given.data.key())
    }

    /// What the bucket holds, but for the server's own bookkeeping.
    fn objects(&self) -> Vec<Vec<u8>> {
        let (mut found, mut folders) = (Vec::new(), vec![self.folder.path().join(BUCKET)]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.file_name().unwrap().to_string_lossy().starts_with('.') {
                    found.push(std::fs::read(path).unwrap());
                }
            }
        }
        found
    }
}

async fn serve(folder: &Path) -> SocketAddr {
    let mut service = S3ServiceBuilder::new(FileSystem::new(folder).unwrap());
    service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let http = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
        while let Ok((socket, _)) = listener.accept().await {
            socket.set_nodelay(true).unwrap();
            let connection = http.serve_connection(hyper_util::rt::TokioIo::new(socket), service.clone()).into_owned();
            tokio::spawn(connection);
        }
    });
    address
}

async fn upload(client: &Client, given: &Given, name: &str, content: Vec<u8>) -> String {
    let path = format!("/v1/files?workspace_id={}&name={name}", given.workspace);
    client.upload(&path, content).await.expect(201).text("id")
}

#[tokio::test]
async fn contents_live_in_a_bucket_sealed() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let place = Place::new(&house, "").await;
    let client = place.client(&given);
    // More than two parts of a multipart upload.
    let content: Vec<u8> = (0..20_000_000_u32).map(|n| (n >> 3) as u8).collect();
    let file = upload(&client, &given, "large.bin", content.clone()).await;
    let path = format!("/v1/files/{file}/content");
    assert!(client.get(&path).await.expect(200).bytes == content);
    let part = Answer::of(client.request(Method::GET, &path).header("range", "bytes=9999990-10000009")).await;
    assert_eq!(part.expect(206).bytes, content[9_999_990..10_000_010]);
    let objects = place.objects();
    assert_eq!(objects.len(), 1);
    assert!(objects[0].len() > content.len() && !objects[0].windows(64).any(|bytes| bytes == &content[..64]));
    assert_eq!(house.stored_objects(), 0, "nothing lies on this machine");
}

#[tokio::test]
async fn downloads_are_redirected_to_the_bucket_where_that_is_wanted() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let place = Place::new(&house, "blobs.encryption = \"off\"\nblobs.redirect_downloads = \"1m\"\n").await;
    let client = place.client(&given);
    let file = upload(&client, &given, "a.bin", b"\0walrus".to_vec()).await;
    let path = format!("/v1/files/{file}/content");
    // Without a client of ours, which would follow.
    let plain = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let address = format!("{}{path}", client.base());
    let answer = plain.get(&address).bearer_auth(given.data.key()).send().await.unwrap();
    assert_eq!(answer.status(), 307);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let direct = plain.get(&location).send().await.unwrap();
    assert_eq!((direct.status().as_u16(), direct.bytes().await.unwrap()), (200, "\0walrus".into()));
    let tampered = plain.get(location.replace("X-Amz-Expires=60", "X-Amz-Expires=61")).send().await.unwrap();
    assert_eq!(tampered.status(), 403);
    // Whoever may not read the file gets no address.
    let other = house.tenant().await;
    let answer = plain.get(&address).bearer_auth(other.data.key()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().get("location")), (404, None));
    let inline = client.get(&format!("{path}?disposition=inline")).await.expect(200);
    assert_eq!(inline.bytes, b"\0walrus");
    // A link can be taken back at any moment, so its holder gets no address that can't be.
    let link = client.post(&format!("/v1/files/{file}/links"), &json!({})).await.expect(201).text("url");
    let linked = plain.get(&link).send().await.unwrap();
    assert_eq!((linked.status().as_u16(), linked.bytes().await.unwrap()), (200, "\0walrus".into()));
}
