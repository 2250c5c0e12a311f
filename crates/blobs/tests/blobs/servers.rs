//! Places to keep blobs while a test runs: a folder, and an S3 server inside this process that checks signatures.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rowhouse_blobs::{Backend, BlobStore, Config, LocalConfig, S3Client, S3Config};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::s3_semantics::S3Semantics;

pub(crate) const ACCESS_KEY: &str = "ROWHOUSETESTKEY";
pub(crate) const SECRET: &str = "a-secret-that-must-not-appear-anywhere";
pub(crate) const BUCKET: &str = "houses";

/// A store, and the folder in which it keeps its bytes.
pub(crate) struct Place {
    pub(crate) store: BlobStore,
    pub(crate) folder: TempDir,
}

impl Place {
    /// Every file below the folder, finished or not, but for the bookkeeping of the S3 server.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !is_bookkeeping(&path) {
                    files.push(path);
                }
            }
        }
        files
    }
}

/// `s3s-fs` keeps entity tags in files of its own, also after their objects are gone.
fn is_bookkeeping(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(".bucket-"))
}

/// A folder on this machine.
pub(crate) fn local() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { local: LocalConfig { root: folder.path().join("blobs") }, ..Config::default() };
    Place { store: BlobStore::open(&config).unwrap(), folder }
}

/// A bucket, reached through the given client.
pub(crate) async fn s3(client: S3Client) -> Place {
    let (folder, address) = serve().await;
    let store = BlobStore::open(&s3_config(address, client, SECRET)).unwrap();
    Place { store, folder }
}

pub(crate) fn s3_config(address: SocketAddr, client: S3Client, secret: &str) -> Config {
    Config {
        backend: Backend::S3,
        s3: S3Config {
            endpoint: Some(format!("http://{address}")),
            bucket: BUCKET.to_owned(),
            path_style: true,
            allow_http: true,
            client,
            access_key_id: Some(ACCESS_KEY.to_owned()),
            secret_access_key: Some(secret.to_owned().into()),
            ..S3Config::default()
        },
        ..Config::default()
    }
}

/// Starts an S3 server that lives as long as the test's runtime.
pub(crate) async fn serve() -> (TempDir, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
    let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
    service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET));
    service.set_access(S3Semantics { root: folder.path().to_owned() });
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let http = Builder::new(TokioExecutor::new());
        while let Ok((socket, _)) = listener.accept().await {
            // Without this a small answer waits 40 ms for an acknowledgement.
            socket.set_nodelay(true).unwrap();
            let connection = http.serve_connection(TokioIo::new(socket), service.clone()).into_owned();
            tokio::spawn(connection);
        }
    });
    (folder, address)
}
