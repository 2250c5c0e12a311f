//! `Upload-Checksum`: what a `PATCH` says that its body hashes to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rowhouse_problem::{Code, Error, Result};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The algorithms, as `Tus-Checksum-Algorithm` lists them.
pub(super) const ALGORITHMS: &str = "sha1,sha256";

/// A stated checksum, worked out while the body comes.
pub(super) struct Checksum {
    stated: Vec<u8>,
    hasher: Hasher,
}

enum Hasher {
    Sha1(Box<Sha1>),
    Sha256(Box<Sha256>),
}

impl Checksum {
    /// Reads the header's value.
    ///
    /// # Errors
    /// `malformed_request`, also for another algorithm.
    pub(super) fn read(text: &str) -> Result<Self> {
        let malformed =
            || Error::new(Code::MalformedRequest, "`Upload-Checksum` is `sha1` or `sha256`, a space, and base64.");
        let (algorithm, stated) = text.trim().split_once(' ').ok_or_else(malformed)?;
        let (hasher, length) = match algorithm {
            "sha1" => (Hasher::Sha1(Box::default()), 20),
            "sha256" => (Hasher::Sha256(Box::default()), 32),
            _ => return Err(malformed()),
        };
        let stated = STANDARD.decode(stated.trim()).ok().filter(|hash| hash.len() == length).ok_or_else(malformed)?;
        Ok(Self { stated, hasher })
    }

    /// Takes a piece of the body in.
    pub(super) fn update(&mut self, piece: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha1(hasher) => hasher.update(piece),
            Hasher::Sha256(hasher) => hasher.update(piece),
        }
    }

    /// Whether the body was the stated one.
    ///
    /// # Errors
    /// `checksum_mismatch`.
    pub(super) fn check(self) -> Result<()> {
        let found = match self.hasher {
            Hasher::Sha1(hasher) => hasher.finalize().to_vec(),
            Hasher::Sha256(hasher) => hasher.finalize().to_vec(),
        };
        if found == self.stated {
            return Ok(());
        }
        Err(Error::new(Code::ChecksumMismatch, "The part was not as stated, and is not kept. Send it again."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_of_its_bytes() {
        for (text, is_right) in [
            ("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", true),
            ("sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=", true),
            ("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRuA=", false),
        ] {
            let mut checksum = Checksum::read(text).unwrap();
            checksum.update(b"hello ");
            checksum.update(b"world");
            assert_eq!(checksum.check().is_ok(), is_right, "{text}");
        }
        for text in ["", "sha1", "sha1 x", "md5 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0="] {
            assert!(Checksum::read(text).is_err(), "{text}");
        }
    }
}
