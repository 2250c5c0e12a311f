//! Blobs that were stored sealed, and what somebody can do to them who holds the store.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use futures::TryStreamExt;
use rowhouse_blobs::{BlobError, BlobKey, BlobStore, ContentKey, S3Client, sealed_size};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::servers::{Place, local, s3};

const FRAME: usize = 64 * 1024;
/// Sizes around the borders of frames.
const SMALL: [usize; 6] = [0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME];
/// And around those of the parts of a disk, and of S3.
const OF_DISK: [usize; 3] = [(1 << 20) - 1, 1 << 20, (2 << 20) + 1];
const OF_S3: [usize; 2] = [8 << 20, (8 << 20) + FRAME + 1];

fn content(size: usize) -> Bytes {
    (0..size).map(|index| u8::try_from(index * 7 % 251).unwrap()).collect()
}

async fn put(store: &BlobStore, key: &ContentKey, content: &Bytes) -> BlobKey {
    let blob = BlobKey::random(Uuid::now_v7());
    let mut writer = store.writer(blob).sealed(key);
    for start in (0..content.len()).step_by(100_000) {
        writer.write(content.slice(start..content.len().min(start + 100_000))).await.unwrap();
    }
    let written = writer.finish().await.unwrap();
    assert_eq!(written.size, content.len() as u64);
    assert_eq!(written.sha256[..], Sha256::digest(content)[..], "the hash is of the content, not of what is stored");
    blob
}

async fn get(
    store: &BlobStore,
    blob: BlobKey,
    size: usize,
    range: Option<Range<u64>>,
    key: &ContentKey,
) -> Result<Vec<u8>, BlobError> {
    let read = store.read_sealed(blob, size as u64, range, key).await?;
    let chunks: Vec<Bytes> = read.body.try_collect().await?;
    Ok(chunks.concat())
}

/// The one file of a store.
fn stored(place: &Place) -> PathBuf {
    let files = place.files();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

#[tokio::test]
async fn what_is_sealed_is_what_is_opened() {
    let key = ContentKey::generate();
    for (place, large) in [(local(), &OF_DISK[..]), (s3(S3Client::ObjectStore).await, &OF_S3[..])] {
        for &size in SMALL.iter().chain(large) {
            let content = content(size);
            let blob = put(&place.store, &key, &content).await;
            assert!(get(&place.store, blob, size, None, &key).await.unwrap() == content, "{size} in {:?}", place.store);
            assert_eq!(place.store.head(blob).await.unwrap().size, sealed_size(size as u64));
        }
    }
}

#[tokio::test]
async fn a_range_of_a_sealed_blob_is_answered_exactly() {
    let key = ContentKey::generate();
    let size = (3 << 20) + 5;
    let all = content(size);
    for place in [local(), s3(S3Client::ObjectStore).await] {
        let blob = put(&place.store, &key, &all).await;
        let borders = [
            0..1,
            0..size,
            FRAME - 1..FRAME + 1,
            FRAME..2 * FRAME,
            1_000_000..2_500_001,
            size - 1..size,
            size - 6..size,
        ];
        for range in borders {
            let part = get(&place.store, blob, size, Some(range.start as u64..range.end as u64), &key).await.unwrap();
            assert!(part == all[range.clone()], "{range:?} of {:?}", place.store);
        }
        let past_the_end = get(&place.store, blob, size, Some(size as u64 - 10..size as u64 + 10), &key).await.unwrap();
        assert_eq!(past_the_end, all[size - 10..]);
        let outside = get(&place.store, blob, size, Some(size as u64..size as u64 + 1), &key).await.unwrap_err();
        assert!(matches!(outside, BlobError::OutOfRange { .. }), "{outside:?}");
    }
}

#[tokio::test]
async fn what_is_stored_shows_nothing_of_the_content() {
    let (place, key) = (local(), ContentKey::generate());
    let content = Bytes::from("the walrus and the carpenter ".repeat(10_000));
    put(&place.store, &key, &content).await;
    let bytes = fs::read(stored(&place)).unwrap();
    assert!(!bytes.windows(6).any(|part| part == b"walrus"));
    // Equal frames look different, and equal contents do.
    let twin = local();
    put(&twin.store, &key, &content).await;
    assert_ne!(bytes, fs::read(stored(&twin)).unwrap());
    let zeros = local();
    put(&zeros.store, &key, &Bytes::from(vec![0; 2 * FRAME])).await;
    let bytes = fs::read(stored(&zeros)).unwrap();
    assert_ne!(bytes[..FRAME], bytes[FRAME + 16..2 * FRAME + 16]);
}

#[tokio::test]
async fn whatever_is_done_to_a_stored_blob_is_noticed() {
    let key = ContentKey::generate();
    let size = 3 * FRAME;
    let (frame, all) = (FRAME + 16, content(size));
    type Change = fn(&mut Vec<u8>, usize);
    let changes: [(&str, Change); 6] = [
        ("a bit of the first frame", |bytes, _| bytes[0] ^= 1),
        ("a bit of the last tag", |bytes, _| *bytes.last_mut().unwrap() ^= 1),
        ("two frames swapped", |bytes, frame| bytes[..2 * frame].rotate_left(frame)),
        ("a frame written twice", |bytes, frame| bytes.copy_within(..frame, frame)),
        ("the last frame left out", |bytes, frame| bytes.truncate(2 * frame)),
        ("a frame added", |bytes, frame| bytes.extend_from_within(..frame)),
    ];
    for (what, change) in changes {
        let place = local();
        let blob = put(&place.store, &key, &all).await;
        let path = stored(&place);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes, frame);
        fs::write(&path, bytes).unwrap();
        let error = get(&place.store, blob, size, None, &key).await.unwrap_err();
        assert!(matches!(error, BlobError::Unopenable { .. }), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn a_blob_cut_short_to_a_smaller_content_is_noticed() {
    let (place, key) = (local(), ContentKey::generate());
    let blob = put(&place.store, &key, &content(3 * FRAME)).await;
    let path = stored(&place);
    fs::write(&path, &fs::read(&path).unwrap()[..2 * (FRAME + 16)]).unwrap();
    // Also for somebody who could change the row.
    let error = get(&place.store, blob, 2 * FRAME, None, &key).await.unwrap_err();
    assert!(matches!(error, BlobError::Unopenable { .. }), "{error:?}");
}

#[tokio::test]
async fn no_other_key_and_no_other_name_opens_a_blob() {
    let (place, key) = (local(), ContentKey::generate());
    let all = content(1000);
    let blob = put(&place.store, &key, &all).await;
    let error = get(&place.store, blob, 1000, None, &ContentKey::generate()).await.unwrap_err();
    assert!(matches!(error, BlobError::Unopenable { .. }), "{error:?}");
    let other = put(&place.store, &key, &all).await;
    let [one, two] = [blob, other].map(|blob| place.folder.path().join("blobs").join(blob.to_string()));
    fs::copy(one, two).unwrap();
    let error = get(&place.store, other, 1000, None, &key).await.unwrap_err();
    assert!(matches!(error, BlobError::Unopenable { .. }), "{error:?}");
}
