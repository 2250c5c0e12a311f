//! Names of blobs: two UUIDs, so that no byte chosen by a user ever reaches a path or an object name.

use std::fmt;
use std::str::FromStr;

use object_store::path::Path;
use uuid::Uuid;

/// Name of one blob: `<tenant uuid>/<object uuid>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobKey {
    tenant: Uuid,
    object: Uuid,
}

impl BlobKey {
    /// Makes a new, never used name for a blob of this tenant.
    #[expect(
        clippy::disallowed_methods,
        reason = "an object's name is no row's id and reveals nothing, not even its age"
    )]
    pub fn random(tenant: Uuid) -> Self {
        Self { tenant, object: Uuid::new_v4() }
    }

    /// Names a blob whose object id is already known.
    pub fn new(tenant: Uuid, object: Uuid) -> Self {
        Self { tenant, object }
    }

    /// The tenant that the blob belongs to.
    pub fn tenant(&self) -> Uuid {
        self.tenant
    }

    /// The object's own id.
    pub fn object(&self) -> Uuid {
        self.object
    }

    pub(crate) fn path(&self) -> Path {
        // `Path::from` would percent-encode the separator.
        Path::parse(self.to_string()).expect("hexadecimal digits, hyphens and one slash are a valid path")
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.tenant, self.object)
    }
}

/// A text that names no blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a blob key of the form <uuid>/<uuid>")]
pub struct InvalidBlobKey;

impl FromStr for BlobKey {
    type Err = InvalidBlobKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (tenant, object) = text.split_once('/').ok_or(InvalidBlobKey)?;
        let key = Self {
            tenant: Uuid::try_parse(tenant).map_err(|_| InvalidBlobKey)?,
            object: Uuid::try_parse(object).map_err(|_| InvalidBlobKey)?,
        };
        // The parser of uuids takes braces, URNs and capitals too; one blob has one name.
        if key.to_string() == text { Ok(key) } else { Err(InvalidBlobKey) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text() {
        let key = BlobKey::random(Uuid::now_v7());
        assert_eq!(key.to_string().parse(), Ok(key));
    }

    #[test]
    fn only_the_canonical_text_is_a_key() {
        let key = BlobKey::random(Uuid::from_u128(0xabcdef)).to_string();
        for text in [
            "".to_owned(),
            "a/b".to_owned(),
            key.to_uppercase(),
            format!("{key}/"),
            format!("/{key}"),
            key.replace('-', ""),
            format!("../{key}"),
        ] {
            assert_eq!(text.parse::<BlobKey>(), Err(InvalidBlobKey), "{text}");
        }
    }
}
