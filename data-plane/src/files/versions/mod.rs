//! Versions of files, and the blobs that they share.

pub(super) mod store;

use jiff::Timestamp;
use rowhouse_blobs::BlobKey;
use rowhouse_domain::ItemName;

/// An object that was written and is to become a blob.
pub(super) struct NewBlob<'a> {
    pub(super) sha256: &'a [u8],
    pub(super) md5: Option<&'a [u8]>,
    pub(super) size: i64,
    pub(super) mime_type: &'a str,
    pub(super) bucket: &'a str,
    pub(super) object: BlobKey,
}

/// What it takes to send a version's content.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) name: ItemName,
    pub(crate) version: i32,
    pub(crate) object: BlobKey,
    pub(crate) size: u64,
    pub(crate) sha256: Vec<u8>,
    pub(crate) mime_type: String,
    pub(crate) created_at: Timestamp,
}
