//! Keys of objects: the path from the workspace's top to a file, with `/` between names. Pure.

use rowhouse_domain::ItemName;
use s3s::{S3Error, S3ErrorCode, S3Result};

/// As the folders' own limit.
const MAX_DEPTH: usize = 64;

/// A key that can be that of a file or of a folder.
#[derive(Debug, Clone)]
pub(super) struct ObjectKey {
    /// From the outermost on.
    pub(super) folders: Vec<ItemName>,
    /// None where the key ends with `/`: it means the last folder itself.
    pub(super) name: Option<ItemName>,
}

impl ObjectKey {
    /// Reads a key.
    ///
    /// # Errors
    /// `InvalidArgument` where a part of it can be no name here: empty, `.`, `..`, too long, with control characters, or with
    /// white space around it, which names lose: the object would be found under another key.
    pub(super) fn parse(text: &str) -> S3Result<Self> {
        let mut parts: Vec<&str> = text.split('/').collect();
        let last = parts.pop().filter(|last| !last.is_empty());
        if parts.len() > MAX_DEPTH {
            return Err(S3Error::new(S3ErrorCode::KeyTooLongError));
        }
        let name = |part: &&str| {
            if part.trim() != *part {
                let message = "a part of the key begins or ends with white space; parts are between slashes";
                return Err(S3Error::with_message(S3ErrorCode::InvalidArgument, message));
            }
            ItemName::parse(part).map_err(|error| {
                let message = format!("a part of the key {error}; parts are between slashes");
                S3Error::with_message(S3ErrorCode::InvalidArgument, message)
            })
        };
        let folders = parts.iter().map(name).collect::<S3Result<Vec<_>>>()?;
        Ok(Self { folders, name: last.map(|last| name(&last)).transpose()? })
    }
}

/// A marker as far as keys go: none has a NUL, so what lies behind the rest of it lies behind this.
pub(super) fn before_nul(marker: &str) -> &str {
    marker.split('\0').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_parts() {
        let key = ObjectKey::parse("a/b c/ä.txt").unwrap();
        assert_eq!(key.folders.iter().map(ItemName::as_str).collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!(key.name.unwrap().as_str(), "ä.txt");
        assert!(ObjectKey::parse("a/b/").unwrap().name.is_none());
        for text in ["/a", "a//b", "../a", "a/./b", "a\n", "a /b", "a\tb"] {
            assert_eq!(ObjectKey::parse(text).unwrap_err().code(), &S3ErrorCode::InvalidArgument, "{text:?}");
        }
        assert!(ObjectKey::parse(&"a/".repeat(200)).is_err());
    }
}
