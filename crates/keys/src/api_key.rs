//! The form of an API key: `rh<kind>_<prefix>_<secret><checksum>`.
//!
//! The prefix finds the row, 256 random bits make the secret, and a CRC-32 over all before it lets a
//! client or a secret scanner spot a typo without a request. The checksum is no protection; the
//! keyed hash in the database is.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::Sha256;

use crate::base62;

/// Digits that 256 bits take in base 62.
const SECRET_LENGTH: usize = 43;
/// Digits that 32 bits take in base 62.
const CHECKSUM_LENGTH: usize = 6;
/// Random digits of a prefix: 71 bits, so that two keys never share one by chance.
const PREFIX_RANDOM_LENGTH: usize = 12;
/// Longest prefix that is looked up: an organization's own part and the random one.
const MAX_PREFIX_LENGTH: usize = 32;

/// Which door a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// A platform admin's: the control plane, everything.
    Platform,
    /// An organization's: the control plane, its own part.
    Organization,
    /// A tenant's: the data plane.
    Tenant,
}

impl KeyKind {
    const ALL: [Self; 3] = [Self::Platform, Self::Organization, Self::Tenant];

    /// What the text of such a key begins with.
    pub const fn marker(self) -> &'static str {
        match self {
            Self::Platform => "rhp",
            Self::Organization => "rho",
            Self::Tenant => "rht",
        }
    }
}

/// Text that no key of ours can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text does not have the form of a Rowhouse API key, or its checksum is wrong")]
pub struct MalformedKey;

/// A key as its holder has it. It is shown once, at creation, and can't be printed by accident.
pub struct PlainApiKey {
    kind: KeyKind,
    prefix: String,
    text: SecretString,
}

impl PlainApiKey {
    /// Makes a new key; `owner_prefix` (an organization's `api_key_prefix`, or empty) starts its prefix.
    pub fn generate(kind: KeyKind, owner_prefix: &str) -> Self {
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let secret = base62::encode(&random, SECRET_LENGTH);
        let mut random = [0u8; 8];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let prefix = format!("{owner_prefix}{}", base62::encode(&random, PREFIX_RANDOM_LENGTH));
        let body = format!("{}_{prefix}_{secret}", kind.marker());
        let text = format!("{body}{}", checksum(&body));
        Self { kind, prefix, text: SecretString::from(text) }
    }

    /// Reads a key, refusing what can't be one before any look-up.
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        let split = text.len().checked_sub(CHECKSUM_LENGTH).ok_or(MalformedKey)?;
        if !text.is_ascii() {
            return Err(MalformedKey);
        }
        let (body, sum) = text.split_at(split);
        let mut parts = body.split('_');
        let (Some(marker), Some(prefix), Some(secret), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MalformedKey);
        };
        let kind = KeyKind::ALL.into_iter().find(|kind| kind.marker() == marker).ok_or(MalformedKey)?;
        let well_formed = (PREFIX_RANDOM_LENGTH..=MAX_PREFIX_LENGTH).contains(&prefix.len())
            && base62::is_base62(prefix)
            && secret.len() == SECRET_LENGTH
            && base62::is_base62(secret)
            && sum == checksum(body);
        if !well_formed {
            return Err(MalformedKey);
        }
        Ok(Self { kind, prefix: prefix.to_owned(), text: SecretString::from(text.to_owned()) })
    }

    /// Which door the key opens.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The part that finds its row; no secret.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The whole key, for the one answer that shows it.
    pub fn reveal(&self) -> &str {
        self.text.expose_secret()
    }

    /// The keyed hash that the database holds: HMAC-SHA-256 under the pepper (RFC 2104).
    pub fn hash(&self, pepper: &Pepper) -> ApiKeyHash {
        ApiKeyHash(self.mac(pepper).finalize().into_bytes().into())
    }

    /// Whether this is the key that `hash` was made of; takes the same time either way.
    pub fn matches(&self, pepper: &Pepper, hash: &ApiKeyHash) -> bool {
        self.mac(pepper).verify_slice(&hash.0).is_ok()
    }

    fn mac(&self, pepper: &Pepper) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(pepper.0.expose_secret()).expect("HMAC takes a key of any length");
        mac.update(self.text.expose_secret().as_bytes());
        mac
    }
}

impl fmt::Debug for PlainApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PlainApiKey({}_{}_…)", self.kind.marker(), self.prefix)
    }
}

/// The secret that API keys are hashed under, so that a copy of the database alone yields no key.
pub struct Pepper(pub(crate) SecretBox<[u8; 32]>);

/// What the database keeps of a key.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyHash([u8; 32]);

impl ApiKeyHash {
    /// Reads a stored hash; `None` where it has not the length of one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKeyHash(…)")
    }
}

fn checksum(body: &str) -> String {
    base62::encode(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECKSUM_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MasterKey;
    use proptest::prelude::*;

    fn pepper() -> Pepper {
        MasterKey::generate().pepper(1)
    }

    #[test]
    fn a_key_comes_back_and_matches_its_hash_only() {
        let pepper = pepper();
        let key = PlainApiKey::generate(KeyKind::Tenant, "acme");
        let read = PlainApiKey::parse(key.reveal()).unwrap();
        assert_eq!((read.kind(), read.prefix()), (KeyKind::Tenant, key.prefix()));
        assert!(read.matches(&pepper, &key.hash(&pepper)));
        let other = PlainApiKey::generate(KeyKind::Tenant, "acme");
        assert!(!other.matches(&pepper, &key.hash(&pepper)));
        assert!(!read.matches(&self::pepper(), &key.hash(&pepper)));
    }

    #[test]
    fn debug_hides_the_secret() {
        let key = PlainApiKey::generate(KeyKind::Platform, "");
        let secret = &key.reveal()[key.reveal().rfind('_').unwrap() + 1..];
        assert!(!format!("{key:?}").contains(secret));
    }

    proptest! {
        #[test]
        fn any_changed_character_is_noticed(position in 0usize..66, letter in "[0-9A-Za-z_]") {
            let key = PlainApiKey::generate(KeyKind::Organization, "acme");
            let mut text = key.reveal().to_owned();
            prop_assume!(position < text.len() && text[position..=position] != letter);
            text.replace_range(position..=position, &letter);
            prop_assert!(PlainApiKey::parse(&text).is_err());
        }

        #[test]
        fn nonsense_never_panics(text in "\\PC*") {
            prop_assert!(PlainApiKey::parse(&text).is_err());
        }
    }
}
