//! `Repr-Digest`, `Content-Digest` (RFC 9530) and `Content-MD5`: what the sender says the content hashes to. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rowhouse_problem::{Code, Error, Result};

/// Hashes that the content must have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) md5: Option<[u8; 16]>,
}

impl Expected {
    /// Reads the headers' values.
    ///
    /// # Errors
    /// `malformed_request` for a hash of ours that can't be read. Other algorithms are passed over beside ours; alone they would
    /// have their sender believe that something was checked.
    pub(super) fn read(digests: &[Option<&str>], content_md5: Option<&str>) -> Result<Self> {
        let (mut sha256, mut is_unchecked) = (None, false);
        for text in digests.iter().copied().flatten() {
            if let Some(stated) = member(text, "sha-256") {
                let hash = decode::<32>(stated.and_then(|value| value.strip_prefix(':')?.strip_suffix(':')))
                    .ok_or_else(|| malformed("`sha-256=:…:` with 32 bytes in base64"))?;
                if sha256.is_some_and(|other| other != hash) {
                    return Err(malformed("the same hash in both headers"));
                }
                sha256 = Some(hash);
            } else if !text.trim().is_empty() && content_md5.is_none() {
                is_unchecked = true;
            }
        }
        if is_unchecked && sha256.is_none() {
            return Err(malformed("`sha-256`, which is the one that is checked here (or `Content-MD5`)"));
        }
        let md5 = match content_md5 {
            Some(text) => Some(decode::<16>(Some(text.trim())).ok_or_else(|| malformed("16 bytes in base64"))?),
            None => None,
        };
        Ok(Self { sha256, md5 })
    }

    /// Compares with what came.
    ///
    /// # Errors
    /// `digest_mismatch`.
    pub(super) fn check(&self, sha256: &[u8; 32], md5: Option<&[u8; 16]>) -> Result<()> {
        let sha256_fits = self.sha256.as_ref().is_none_or(|expected| expected == sha256);
        let md5_fits = self.md5.as_ref().is_none_or(|expected| Some(expected) == md5);
        if sha256_fits && md5_fits {
            return Ok(());
        }
        let detail = format!("What came hashes to `{}`. Send it again.", header_value(sha256));
        Err(Error::new(Code::DigestMismatch, detail))
    }
}

/// A member of a dictionary (RFC 9651 §3.2): none where it is absent, `Some(None)` where it has no value.
fn member<'a>(dictionary: &'a str, name: &str) -> Option<Option<&'a str>> {
    let mut members = dictionary.split(',').map(str::trim);
    members.find_map(|member| match member.split_once('=') {
        Some((key, value)) if key == name => Some(Some(value)),
        None if member == name => Some(None),
        _ => None,
    })
}

fn decode<const N: usize>(text: Option<&str>) -> Option<[u8; N]> {
    STANDARD.decode(text?).ok()?.try_into().ok()
}

fn malformed(expected: &str) -> Error {
    Error::new(Code::MalformedRequest, format!("A header states the content's hash, but not as {expected}."))
}

/// The value of `Repr-Digest` for a content.
pub(super) fn header_value(sha256: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(sha256))
}

/// Whether `Want-Repr-Digest` (RFC 9530 §4) leaves us to say ours: unless it gives our hash no weight at all.
pub(super) fn is_wanted(wish: Option<&str>) -> bool {
    let weight = wish.and_then(|text| member(text, "sha-256"));
    weight.flatten().is_none_or(|weight| weight.split(';').next().map(str::trim) != Some("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stated_hash_comes_back() {
        let value = header_value(&[7; 32]);
        let expected = Expected::read(&[Some(&format!("md5=:AA==:, {value}")), None], None).unwrap();
        assert_eq!(expected.sha256, Some([7; 32]));
        assert!(expected.check(&[7; 32], None).is_ok());
        assert_eq!(expected.check(&[8; 32], None).unwrap_err().code(), Code::DigestMismatch);
    }

    #[test]
    fn a_hash_is_said_unless_it_is_not_wanted() {
        for (wish, expected) in [
            (None, true),
            (Some("sha-256=1"), true),
            (Some("sha-512=10, sha-256=3"), true),
            (Some("sha-512=10"), true),
            (Some("sha-256"), true),
            (Some("sha-512=10, sha-256=0"), false),
        ] {
            assert_eq!(is_wanted(wish), expected, "{wish:?}");
        }
    }

    #[test]
    fn other_algorithms_are_passed_over_beside_ours_and_nonsense_is_not() {
        let ours = header_value(&[7; 32]);
        let both = Expected::read(&[Some("sha-512=:AA==:"), Some(&ours)], None).unwrap();
        assert_eq!(both.sha256, Some([7; 32]));
        assert!(Expected::read(&[Some("sha-512=:AA==:")], Some("AAAAAAAAAAAAAAAAAAAAAA==")).is_ok());
        for text in ["sha-512=:AA==:", "md5=:AA==:", "sha-256=:AA==:", "sha-256=abc", "sha-256", "sha-256=:%:"] {
            assert_eq!(Expected::read(&[Some(text)], None).unwrap_err().code(), Code::MalformedRequest, "{text}");
        }
        assert!(Expected::read(&[], Some("AA==")).is_err());
    }
}
