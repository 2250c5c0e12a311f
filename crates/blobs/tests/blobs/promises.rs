//! What blobs promise beyond the object store's suite.

use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use rowhouse_blobs::{BlobError, BlobKey, BlobStore, Config, LocalConfig, S3Client};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::servers::{ACCESS_KEY, Place, SECRET, local, s3, s3_config, serve};

/// Sizes around every border: nothing, one part of disk and of S3, one byte more, several parts.
const SIZES: [usize; 7] = [0, 1, 70_000, 1 << 20, (1 << 20) + 1, 8 << 20, (20 << 20) + 7];

async fn places() -> Vec<Place> {
    let mut places = vec![local(), s3(S3Client::ObjectStore).await];
    if cfg!(feature = "rusoto") {
        places.push(s3(S3Client::Rusoto).await);
    }
    places
}

fn content(size: usize) -> Bytes {
    // A pattern with a period that divides no part's size, so that swapped parts show.
    (0..size).map(|index| u8::try_from(index * 7 % 251).unwrap()).collect()
}

fn new_key() -> BlobKey {
    BlobKey::random(Uuid::now_v7())
}

async fn put(store: &BlobStore, key: BlobKey, content: &Bytes) -> rowhouse_blobs::Written {
    let mut writer = store.writer(key).with_md5();
    for start in (0..content.len()).step_by(100_000) {
        writer.write(content.slice(start..content.len().min(start + 100_000))).await.unwrap();
    }
    writer.finish().await.unwrap()
}

async fn get(store: &BlobStore, key: BlobKey, range: Option<std::ops::Range<u64>>) -> Result<Vec<u8>, BlobError> {
    let chunks: Vec<Bytes> = store.read(key, range).await?.body.try_collect().await?;
    Ok(chunks.concat())
}

#[tokio::test]
async fn what_is_written_is_what_is_read_and_hashed() {
    for place in places().await {
        for size in SIZES {
            let (key, content) = (new_key(), content(size));
            let written = put(&place.store, key, &content).await;
            assert_eq!(written.size, size as u64);
            assert_eq!(written.sha256[..], Sha256::digest(&content)[..], "{size} bytes in {:?}", place.store);
            assert_eq!(written.md5.unwrap()[..], <md5::Md5 as md5::Digest>::digest(&content)[..]);
            assert!(get(&place.store, key, None).await.unwrap() == content, "{size} bytes in {:?}", place.store);
            assert_eq!(place.store.head(key).await.unwrap().size, size as u64);
        }
    }
}

#[tokio::test]
async fn a_range_is_answered_exactly() {
    let size = 3 << 20;
    let all = content(size);
    for place in places().await {
        let key = new_key();
        put(&place.store, key, &all).await;
        for range in [0..1, 0..size, 262_143..262_145, 1_000_000..2_500_001, size - 1..size] {
            let part = get(&place.store, key, Some(range.start as u64..range.end as u64)).await.unwrap();
            assert!(part == all[range.clone()], "{range:?} of {:?}", place.store);
        }
        let past_the_end = get(&place.store, key, Some(size as u64 - 10..size as u64 + 10)).await.unwrap();
        assert_eq!(past_the_end, all[size - 10..]);
        let outside = get(&place.store, key, Some(size as u64..size as u64 + 1)).await.unwrap_err();
        assert!(matches!(outside, BlobError::OutOfRange { size: 3_145_728 }), "{outside:?}");
    }
}

#[tokio::test]
async fn a_missing_blob_is_not_found_and_deleting_it_is_fine() {
    for place in places().await {
        let key = new_key();
        assert!(matches!(place.store.read(key, None).await, Err(BlobError::NotFound { .. })));
        assert!(matches!(place.store.head(key).await, Err(BlobError::NotFound { .. })));
        place.store.delete(key).await.unwrap();
        put(&place.store, key, &content(10)).await;
        place.store.delete(key).await.unwrap();
        place.store.delete(key).await.unwrap();
        assert!(matches!(place.store.head(key).await, Err(BlobError::NotFound { .. })));
    }
}

#[tokio::test]
async fn a_listing_names_one_tenants_blobs_or_all() {
    for place in places().await {
        let (one, other) = (new_key(), new_key());
        put(&place.store, one, &content(10)).await;
        put(&place.store, other, &content(20)).await;
        let of_one: Vec<_> = place.store.list(Some(one.tenant())).try_collect().await.unwrap();
        assert_eq!(of_one.iter().map(|meta| (meta.key, meta.size)).collect::<Vec<_>>(), [(one, 10)]);
        let all: Vec<_> = place.store.list(None).try_collect().await.unwrap();
        assert_eq!(all.len(), 2);
    }
}

#[tokio::test]
async fn an_abandoned_upload_leaves_nothing() {
    for place in places().await {
        for drop_it in [false, true] {
            let mut writer = place.store.writer(new_key());
            for _ in 0..20 {
                writer.write(content(1 << 20)).await.unwrap();
            }
            assert!(!place.files().is_empty(), "several parts were sent by now");
            if drop_it {
                drop(writer);
                wait_until(|| place.files().is_empty()).await;
            } else {
                writer.abort().await.unwrap();
            }
            assert_eq!(place.files(), Vec::<std::path::PathBuf>::new());
        }
    }
}

#[tokio::test]
async fn a_failed_upload_leaves_no_file_and_breaks_its_writer() {
    let place = local();
    let key = new_key();
    // A folder where the blob should go makes the last step, the rename, fail.
    let destination = place.folder.path().join("blobs").join(key.to_string());
    std::fs::create_dir_all(destination.join("occupied")).unwrap();
    for size in [10, 3 << 20] {
        let mut writer = place.store.writer(key);
        writer.write(content(size)).await.unwrap();
        let error = writer.finish().await.unwrap_err();
        assert!(matches!(error, BlobError::Unavailable(_)), "{error:?}");
        wait_until(|| place.files().is_empty()).await;
    }

    let place = local();
    let mut writer = place.store.writer(key);
    // The tenant's folder is a file: the first part can't be stored, which is done when more follows it.
    std::fs::write(place.folder.path().join("blobs").join(key.tenant().to_string()), "").unwrap();
    writer.write(content((1 << 20) + 1)).await.unwrap_err();
    assert!(matches!(writer.write(content(1)).await, Err(BlobError::Broken)));
    assert!(matches!(writer.finish().await, Err(BlobError::Broken)));
}

#[tokio::test]
async fn a_blob_cut_short_on_disk_is_an_error_not_an_end() {
    let place = local();
    let key = new_key();
    put(&place.store, key, &content(1 << 20)).await;
    let read = place.store.read(key, None).await.unwrap();
    let file =
        std::fs::OpenOptions::new().write(true).open(place.folder.path().join("blobs").join(key.to_string())).unwrap();
    file.set_len(700_000).unwrap();
    let error = read.body.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(error, BlobError::Truncated { expected: 1_048_576, received: 700_000 }), "{error:?}");
}

#[tokio::test]
async fn the_sweep_removes_only_old_unfinished_files() {
    let place = local();
    let key = new_key();
    put(&place.store, key, &content(10)).await;
    let finished = place.folder.path().join("blobs").join(key.to_string());
    let unfinished = finished.with_file_name(format!("{}#1", Uuid::now_v7()));
    std::fs::write(&unfinished, "half").unwrap();
    assert_eq!(place.store.sweep_unfinished(Duration::from_secs(3600)).await.unwrap(), 0);
    assert_eq!(place.store.sweep_unfinished(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(place.files(), [finished]);
}

#[tokio::test]
async fn a_new_root_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let place = local();
    let mode = std::fs::metadata(place.folder.path().join("blobs")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_appears_nowhere() {
    let clients: &[S3Client] =
        if cfg!(feature = "rusoto") { &[S3Client::ObjectStore, S3Client::Rusoto] } else { &[S3Client::ObjectStore] };
    for client in clients {
        let (folder, address) = serve().await;
        let wrong = format!("not-{SECRET}");
        let config = s3_config(address, *client, &wrong);
        let store = BlobStore::open(&config).unwrap();
        let mut writer = store.writer(new_key());
        writer.write(content(10)).await.unwrap();
        let refused = writer.finish().await.unwrap_err();
        assert!(matches!(&refused, BlobError::Denied { reason } if reason == "SignatureDoesNotMatch"), "{refused:?}");
        let refused_read = store.read(new_key(), None).await.err().unwrap();
        assert!(matches!(refused_read, BlobError::Denied { .. }), "{refused_read:?}");
        let refused_check = store.check().await.unwrap_err();
        let texts = format!("{refused:?} {refused} {refused_read:?} {refused_check:?} {store:?} {config:?}");
        assert!(!texts.contains(&wrong) && !texts.contains("Signature="), "{texts}");
        let errors = format!("{refused:?} {refused_read:?} {refused_check:?}");
        assert!(!errors.contains(ACCESS_KEY), "{errors}");
        let place = Place { store, folder };
        assert!(place.files().is_empty());
    }
}

#[tokio::test]
async fn a_check_notices_what_is_missing() {
    for place in places().await {
        place.store.check().await.unwrap();
    }
    let place = local();
    std::fs::remove_dir_all(place.folder.path().join("blobs")).unwrap();
    assert!(matches!(place.store.check().await, Err(BlobError::Unavailable(_))));

    let (_folder, address) = serve().await;
    let mut config = s3_config(address, S3Client::ObjectStore, SECRET);
    config.s3.bucket = "no-such-bucket".to_owned();
    let store = BlobStore::open(&config).unwrap();
    assert!(matches!(store.check().await, Err(BlobError::Unavailable(_))));
    assert!(matches!(store.read(new_key(), None).await, Err(BlobError::Unavailable(_) | BlobError::NotFound { .. })));
}

#[test]
fn settings_that_cannot_work_are_refused_at_the_start() {
    let config = Config { local: LocalConfig { root: "/dev/null/blobs".into() }, ..Config::default() };
    assert!(matches!(BlobStore::open(&config), Err(BlobError::Config(_))));
    let config = Config { backend: rowhouse_blobs::Backend::S3, ..Config::default() };
    assert!(matches!(BlobStore::open(&config), Err(BlobError::Config(_))));
}

/// Polls with a deadline, for what happens in the background.
async fn wait_until(condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(condition());
}
