//! The only crate that knows the object store: local disk by default, S3 by settings.
//!
//! A blob is written once under a random key and never changed. Callers see [`BlobStore`], [`BlobWriter`],
//! [`BlobRead`] and [`BlobError`]; nothing of the object store's own types leaves this crate, except through
//! [`BlobStore::object_store`], which exists for its public test suite.
//!
//! It must not know tenants' rows, HTTP or settings files: [`Config`] is embedded by whoever loads settings.

mod config;
mod digest;
mod error;
mod key;
mod local;
mod parts;
mod read;
#[cfg(feature = "rusoto")]
mod rusoto;
mod s3;
mod sealed;
mod store;
mod writeback;
mod writer;

pub use config::{Backend, Config, LocalConfig, S3Client, S3Config};
pub use error::BlobError;
pub use key::{BlobKey, InvalidBlobKey};
pub use read::{BlobBody, BlobMeta, BlobRead};
pub use sealed::{ContentKey, sealed_size};
pub use store::BlobStore;
pub use writer::{BlobWriter, Written};
