//! The object store's public suite. Where a backend is left out of a function, the reason stands beside it.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{Error, ObjectStore, PutMode, integration};
use rowhouse_blobs::S3Client;

use crate::servers::{Place, local, s3};

/// Runs what holds for every backend. Each function begins by emptying the store or uses names of its own.
async fn everywhere(store: &dyn ObjectStore) {
    integration::list_uses_directories_correctly(store).await;
    integration::list_with_delimiter(store).await;
    integration::list_with_offset_exclusivity(store).await;
    integration::rename_and_copy(store).await;
    integration::stream_get(store).await;
    integration::multipart_out_of_order(store).await;
    integration::multipart_race_condition(store, true).await;
    integration::put_get_attributes(store).await;
    let missing = integration::get_nonexistent_object(store, None).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
}

/// What `integration::put_opts` does, without its race: `s3s-fs` checks a condition and writes in two steps, so that
/// concurrent writers overtake each other there.
async fn conditional_puts(store: &dyn ObjectStore) {
    let path = Path::from("conditional");
    let first = store.put_opts(&path, "a".into(), PutMode::Create.into()).await.unwrap();
    let again = store.put_opts(&path, "b".into(), PutMode::Create.into()).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
    let update = PutMode::Update(first.into());
    store.put_opts(&path, "c".into(), update.clone().into()).await.unwrap();
    let stale = store.put_opts(&path, "d".into(), update.into()).await.unwrap_err();
    assert!(matches!(stale, Error::Precondition { .. }), "{stale}");
}

fn of(place: &Place) -> Arc<dyn ObjectStore> {
    place.store.object_store()
}

#[tokio::test]
async fn local_disk_passes() {
    let place = local();
    let store = of(&place);
    integration::put_get_delete_list(&*store).await;
    everywhere(&*store).await;
    integration::copy_if_not_exists(&*store).await;
    integration::copy_rename_nonexistent_object(&*store).await;
    integration::get_opts(&*store).await;
    // A file system has no "replace if unchanged".
    integration::put_opts(&*store, false).await;
}

#[tokio::test]
async fn s3_passes() {
    let place = s3(S3Client::ObjectStore).await;
    let store = of(&place);
    everywhere(&*store).await;
    integration::copy_if_not_exists(&*store).await;
    integration::copy_rename_nonexistent_object(&*store).await;
    conditional_puts(&*store).await;
    integration::get_opts(&*store).await;
    integration::put_get_delete_list(&*store).await;
}

#[cfg(feature = "rusoto")]
#[tokio::test]
async fn rusoto_passes() {
    let place = s3(S3Client::Rusoto).await;
    let store = of(&place);
    everywhere(&*store).await;
    // `put_opts`, `copy_if_not_exists` and with it `copy_rename_nonexistent_object` need conditional writes, which
    // rusoto 0.48 can't express.
    let create = store.put_opts(&"one".into(), "a".into(), PutMode::Create.into()).await.unwrap_err();
    assert!(matches!(create, Error::NotImplemented { .. }), "{create}");
    integration::get_opts(&*store).await;
    integration::put_get_delete_list(&*store).await;
}
