//! Contents in a bucket, of a public S3 server that checks signatures.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

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
        Self::in_folder(house, folder, further).await
    }

    async fn in_folder(house: &TestHouse, folder: TempDir, further: &str) -> Self {
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

    /// Files of the server's that belong to unfinished uploads in parts: their names, and their parts.
    fn unfinished(&self) -> usize {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with(".upload")).count()
    }

    /// Waits until something is so.
    async fn until(&self, what: &str, is_so: impl Fn(usize) -> bool) {
        let begun = Instant::now();
        while !is_so(self.unfinished()) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {} are there", self.unfinished());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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

/// Nobody lists parts: without its process an upload's would stay in the bucket for ever.
#[tokio::test]
async fn the_parts_of_a_process_that_was_killed_go() {
    // Its own data plane has another store, and must not be the one that cleans up.
    let house = crate::house_with(|settings| settings.work.poll = Duration::from_secs(3600)).await;
    let given = house.tenant().await;
    let further = "uploads.reservation_ttl = \"2s\"\n";
    let place = Place::new(&house, further).await;
    let (begun, rest) = tokio::sync::oneshot::channel::<()>();
    let head = futures::stream::iter([Ok::<_, std::io::Error>(vec![7_u8; 20_000_000])]);
    let tail = futures::stream::once(async move {
        let _ = rest.await;
        Err(std::io::Error::other("the rest never comes"))
    });
    let body = reqwest::Body::wrap_stream(futures::StreamExt::chain(head, tail));
    let path = format!("/v1/files?workspace_id={}&name=large.bin", given.workspace);
    let request = place.client(&given).request(Method::POST, &path).body(body);
    let sending = tokio::spawn(request.send());
    // Both the name of the upload, and a part of it.
    place.until("parts", |files| files >= 2).await;
    let Place { folder, process } = place;
    process.kill().await;
    drop(begun);
    assert!(sending.await.unwrap().is_err());
    let place = Place::in_folder(&house, folder, further).await;
    place.until("no parts", |files| files == 0).await;
    house.expect_reserved(0).await;
    assert_eq!(place.objects().len(), 0);
}
