//! Content keys: each a tenant's own, sealed under the master key wherever it is stored.

use std::time::Duration;

use rowhouse_blobs::ContentKey;
use rowhouse_database::{Columns, Sql};
use rowhouse_domain::{ContentKeyId, TenantId};
use rowhouse_keys::{MasterKey, Unopenable};
use rowhouse_problem::{Error, Result};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::Row;
use uuid::Uuid;

use super::store;

const PURPOSE: &str = "content-key";

/// A key's row.
#[derive(Debug, Clone)]
pub(crate) struct SealedKey {
    id: Uuid,
    sealed: Vec<u8>,
}

/// A key that seals and opens.
pub(crate) struct OpenKey {
    id: Uuid,
    key: ContentKey,
}

impl OpenKey {
    /// Of its row.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    pub(super) fn key(&self) -> &ContentKey {
        &self.key
    }
}

impl SealedKey {
    /// Reads `content_key_id` and `sealed_content_key`, which are null together.
    pub(super) fn from_row(row: &Row) -> Result<Option<Self>> {
        let parts: (Option<Uuid>, Option<Vec<u8>>) = (row.column("content_key_id")?, row.column("sealed_content_key")?);
        let (Some(id), sealed) = parts else { return Ok(None) };
        let sealed = sealed.ok_or_else(|| Error::internal(format!("the content key {id} has no row")))?;
        Ok(Some(Self { id, sealed }))
    }

    pub(super) fn open(&self, master: &MasterKey, tenant: Uuid) -> Result<OpenKey, Unopenable> {
        let text = master.open(PURPOSE, &owner(tenant, self.id), &self.sealed)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.expose_secret(), &mut bytes).map_err(|_| Unopenable)?;
        Ok(OpenKey { id: self.id, key: ContentKey::from_bytes(bytes) })
    }
}

/// Whose it is and which one, so that no row's key can be put into another.
fn owner(tenant: Uuid, id: Uuid) -> Vec<u8> {
    [*tenant.as_bytes(), *id.as_bytes()].concat()
}

/// The tenant's last key, or a new one where there is none or it is older than `age`.
pub(super) async fn current(
    transaction: &impl Sql,
    master: &MasterKey,
    tenant: TenantId,
    age: Duration,
) -> Result<OpenKey> {
    // Whoever makes the same number at the same time comes first or second, and both use what came first.
    for _ in 0..2 {
        if let Some(sealed) = store::last(transaction, age).await? {
            return sealed.open(master, tenant.as_uuid()).map_err(Error::internal);
        }
        add(transaction, master, tenant).await?;
    }
    let sealed = store::last(transaction, age).await?;
    let sealed = sealed.ok_or_else(|| Error::unavailable("a content key was made and is not there"))?;
    sealed.open(master, tenant.as_uuid()).map_err(Error::internal)
}

/// Makes a key whatever the age of the last one is. Of two that do so at the same time one makes it for both.
pub(super) async fn renew(transaction: &impl Sql, master: &MasterKey, tenant: TenantId) -> Result<ContentKeyId> {
    add(transaction, master, tenant).await?;
    store::newest(transaction).await
}

/// Adds a key, unless somebody else just did.
async fn add(transaction: &impl Sql, master: &MasterKey, tenant: TenantId) -> Result<()> {
    let id = Uuid::now_v7();
    let text = SecretString::from(hex::encode(ContentKey::generate().expose()));
    store::insert(transaction, id, &master.seal(PURPOSE, &owner(tenant.as_uuid(), id), &text)).await
}
