//! The master key: 256 bits outside every database, and the keys derived from it.
//!
//! Each use has a label of its own, and every field is preceded by its length, so no two uses can
//! ever derive the same key (RFC 5869 gives the reasons for separate contexts).

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rowhouse_domain::{GroupId, KeyId, TenantId};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::{Digest, Sha256};

use crate::api_key::Pepper;

/// Text that is no master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 32 random bytes in base64; make one with `openssl rand -base64 32`")]
pub struct InvalidMasterKey;

/// The root of all secrets of an installation.
pub struct MasterKey(SecretBox<[u8; 32]>);

impl MasterKey {
    /// Reads the key from its base64 text.
    pub fn parse(text: &SecretString) -> Result<Self, InvalidMasterKey> {
        let bytes = STANDARD.decode(text.expose_secret().trim()).map_err(|_| InvalidMasterKey)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| InvalidMasterKey)?;
        Ok(Self(SecretBox::new(Box::new(bytes))))
    }

    /// Reads the key from a file, or from `text` where no file is named.
    ///
    /// # Errors
    /// Where the file can't be read or holds no master key.
    pub fn load(text: &SecretString, file: &Path) -> std::io::Result<Self> {
        if file.as_os_str().is_empty() {
            return Self::parse(text).map_err(std::io::Error::other);
        }
        Self::parse(&SecretString::from(std::fs::read_to_string(file)?)).map_err(std::io::Error::other)
    }

    /// Makes a new random key.
    pub fn generate() -> Self {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Self(SecretBox::new(Box::new(bytes)))
    }

    /// The base64 text, to be kept in a secret store or a file of its owner's alone.
    pub fn to_text(&self) -> SecretString {
        SecretString::from(STANDARD.encode(self.0.expose_secret()))
    }

    /// The pepper of API keys, by version so that it can be rotated.
    pub fn pepper(&self, version: i32) -> Pepper {
        Pepper(SecretBox::new(Box::new(self.derive("api-key-pepper", &[&version.to_be_bytes()]))))
    }

    /// The password of a tenant's database login. It is derived each time and stored nowhere.
    pub fn tenant_database_password(&self, tenant: TenantId, version: i32) -> SecretString {
        let key = self.derive("tenant-db", &[tenant.as_uuid().as_bytes(), &version.to_be_bytes()]);
        SecretString::from(hex::encode(key))
    }

    /// The password of the login that the tenants of one shared database have in common.
    pub fn group_database_password(&self, group: GroupId, version: i32) -> SecretString {
        let key = self.derive("group-db", &[group.as_uuid().as_bytes(), &version.to_be_bytes()]);
        SecretString::from(hex::encode(key))
    }

    /// The secret that the holder of a tenant key signs S3 requests with. It is derived each time and stored nowhere.
    pub fn s3_secret(&self, key: KeyId) -> SecretString {
        SecretString::from(hex::encode(self.derive("s3-secret", &[key.as_uuid().as_bytes()])))
    }

    /// A key that seals list cursors and the like against tampering.
    pub fn signing_key(&self, purpose: &str) -> SecretBox<[u8; 32]> {
        SecretBox::new(Box::new(self.derive("signing", &[purpose.as_bytes()])))
    }

    pub(crate) fn sealing_key(&self, purpose: &str) -> SecretBox<[u8; 32]> {
        SecretBox::new(Box::new(self.derive("sealing", &[purpose.as_bytes()])))
    }

    fn derive(&self, label: &str, fields: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("HMAC takes a key of any length");
        for field in std::iter::once(label.as_bytes()).chain(fields.iter().copied()) {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        mac.finalize().into_bytes().into()
    }
}

/// What PostgreSQL stores of a password (`pg_authid.rolpassword`), made here so that no password is
/// ever part of a statement that a server might log.
pub fn scram_verifier(password: &SecretString) -> String {
    postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes())
}

/// The same for a password that was derived from the master key, with a single round of PBKDF2 (RFC 5802 §3).
///
/// The rounds make guessing slow where people choose passwords. Nobody guesses 256 random bits, and every connection of
/// every tenant would pay for them.
///
/// # Panics
/// Where the operating system gives no random bytes.
pub fn scram_verifier_of_derived(password: &SecretString) -> String {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).expect("the operating system gives random bytes");
    let salted = hmac(password.expose_secret().as_bytes(), &[&salt, &1u32.to_be_bytes()]);
    let stored = Sha256::digest(hmac(&salted, &[b"Client Key"]));
    let server = hmac(&salted, &[b"Server Key"]);
    format!("SCRAM-SHA-256$1:{}${}:{}", STANDARD.encode(salt), STANDARD.encode(stored), STANDARD.encode(server))
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_use_has_its_own_key() {
        let master = MasterKey::generate();
        let tenant = TenantId::new();
        let first = master.tenant_database_password(tenant, 1);
        assert_eq!(first.expose_secret(), master.tenant_database_password(tenant, 1).expose_secret());
        assert_ne!(first.expose_secret(), master.tenant_database_password(tenant, 2).expose_secret());
        assert_ne!(first.expose_secret(), master.tenant_database_password(TenantId::new(), 1).expose_secret());
        assert_ne!(first.expose_secret(), MasterKey::generate().tenant_database_password(tenant, 1).expose_secret());
    }

    #[test]
    fn only_32_bytes_are_a_master_key() {
        let master = MasterKey::generate();
        assert!(MasterKey::parse(&master.to_text()).is_ok());
        for text in ["", "c2hvcnQ=", "not base64!"] {
            assert!(MasterKey::parse(&SecretString::from(text)).is_err());
        }
    }

    #[test]
    fn a_verifier_has_the_form_that_postgresql_stores() {
        assert!(scram_verifier(&SecretString::from("secret")).starts_with("SCRAM-SHA-256$4096:"));
    }
}
