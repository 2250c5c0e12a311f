//! Contents as bytes: the objects that hold them, and the keys that open those. Nothing else of the data plane reads or writes
//! an object.
//!
//! A sealed object's key is a row beside the blob's, itself sealed under the master key: it is read in the same query as where
//! the object lies, so there is nothing to look up, cache or be unavailable by itself. With the row gone nobody opens the
//! object again, whoever still has a copy of it.

mod failure;
mod keys;
mod store;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use rowhouse_blobs::{BlobError, BlobKey, BlobMeta, BlobRead, BlobStore, BlobWriter, Config};
use rowhouse_database::{Columns, Sql};
use rowhouse_domain::{ContentKeyId, TenantId};
use rowhouse_keys::MasterKey;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_settings as settings;
use tokio_postgres::Row;

pub(crate) use failure::{blob_failure, damaged};
pub(crate) use keys::{OpenKey, SealedKey};

/// What opening an object can come to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The store says so.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The key's row was sealed under another master key, or changed.
    #[error("the content key of an object does not open")]
    Key(#[from] rowhouse_keys::Unopenable),
}

/// An object, as its blob's row describes it.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) key: BlobKey,
    /// Bytes of the content.
    pub(crate) size: u64,
    /// None: it is stored as it is.
    pub(crate) sealed_under: Option<SealedKey>,
}

impl Object {
    /// Reads `object_key` and `size`, and of the content key `content_key_id` and `sealed_content_key`.
    pub(crate) fn from_row(row: &Row) -> Result<Self> {
        let key: &str = row.column("object_key")?;
        Ok(Self {
            key: key.parse().map_err(|error| Error::internal(format!("{key:?}: {error}")))?,
            size: u64::try_from(row.column::<i64>("size")?).map_err(Error::internal)?,
            sealed_under: SealedKey::from_row(row)?,
        })
    }
}

/// The way to all contents. Cheap to clone.
#[derive(Clone)]
pub struct Contents {
    blobs: BlobStore,
    master: Arc<MasterKey>,
    /// None: objects are stored as they are.
    key_age: Option<Duration>,
    /// How long an address that clients are redirected to is good for; zero where they are not.
    redirect: Duration,
}

impl Contents {
    /// Opens the store that the settings name.
    ///
    /// # Errors
    /// Where it can't be used.
    pub fn open(settings: &settings::Blobs, master: Arc<MasterKey>) -> Result<Self> {
        let blobs = BlobStore::open(&Config::of(settings)).map_err(Error::internal)?;
        Ok(Self {
            blobs,
            master,
            key_age: settings.seals().then_some(settings.content_key_age),
            redirect: settings.redirect_downloads,
        })
    }

    /// The key that the tenant's next object is to be sealed under, made where there is none or the last has had its time.
    /// None where objects are stored as they are.
    pub(crate) async fn current_key(&self, transaction: &impl Sql, tenant: TenantId) -> Result<Option<OpenKey>> {
        match self.key_age {
            Some(age) => keys::current(transaction, &self.master, tenant, age).await.map(Some),
            None => Ok(None),
        }
    }

    /// Makes a key that the tenant's objects are sealed under from now on, before the last one has had its time.
    pub(crate) async fn renew_key(&self, transaction: &impl Sql, tenant: TenantId) -> Result<ContentKeyId> {
        if self.key_age.is_none() {
            let detail = "Contents are not sealed here: blobs.encryption is off.";
            return Err(Error::new(Code::InvalidTransition, detail));
        }
        keys::renew(transaction, &self.master, tenant).await
    }

    /// Begins an object.
    pub(crate) fn writer(&self, object: BlobKey, key: Option<&OpenKey>) -> BlobWriter {
        let writer = self.blobs.writer(object);
        match key {
            Some(key) => writer.sealed(key.key()),
            None => writer,
        }
    }

    /// Opens an object, or the part of its content that lies within `range`.
    pub(crate) async fn read(&self, object: &Object, range: Option<Range<u64>>) -> Result<BlobRead, ReadError> {
        Ok(match &object.sealed_under {
            Some(sealed) => {
                let key = sealed.open(&self.master, object.key.tenant())?;
                self.blobs.read_sealed(object.key, object.size, range, key.key()).await?
            }
            None => self.blobs.read(object.key, range).await?,
        })
    }

    /// An address at which a client reads the object from the store itself, where the settings want that and the store gives
    /// such. Never one of a sealed object, which nobody but us can open.
    pub(crate) async fn address(&self, object: &Object) -> Result<Option<String>, BlobError> {
        if self.redirect.is_zero() || object.sealed_under.is_some() {
            return Ok(None);
        }
        self.blobs.signed_address(object.key, self.redirect).await
    }

    /// Removes an object; one that is gone is fine.
    pub(crate) async fn delete(&self, object: BlobKey) -> Result<(), BlobError> {
        self.blobs.delete(object).await
    }

    /// The tenant's objects, in no particular order.
    pub(crate) fn list(&self, tenant: TenantId) -> BoxStream<'static, Result<BlobMeta, BlobError>> {
        self.blobs.list(Some(tenant.as_uuid()))
    }

    /// Ends an upload that its process has left behind, by what the store calls it where it does; one that has ended is fine.
    pub(crate) async fn end_upload(&self, object: BlobKey, name: Option<&str>) -> Result<(), BlobError> {
        self.blobs.end_upload(object, name).await
    }

    /// Asks whether the store answers.
    pub(crate) async fn check(&self) -> Result<(), BlobError> {
        self.blobs.check().await
    }

    /// Removes what a crash left of uploads on local disk, where it is older than `age`.
    pub(crate) async fn sweep_unfinished(&self, age: Duration) -> Result<u64, BlobError> {
        self.blobs.sweep_unfinished(age).await
    }
}
