//! Signatures of ours that come back to us: what nobody else could have written, and nobody has changed.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;

use crate::master::MasterKey;

impl MasterKey {
    /// Signs fields for a purpose (HMAC-SHA-256). Each field is preceded by its length, so that no byte can move from one to
    /// the next.
    pub fn sign<'a>(&self, purpose: &str, fields: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
        self.mac(purpose, fields).finalize().into_bytes().into()
    }

    /// Whether this is the signature of these fields for this purpose, found out in constant time.
    pub fn is_signed<'a>(&self, purpose: &str, fields: impl IntoIterator<Item = &'a [u8]>, signature: &[u8]) -> bool {
        self.mac(purpose, fields).verify_slice(signature).is_ok()
    }

    fn mac<'a>(&self, purpose: &str, fields: impl IntoIterator<Item = &'a [u8]>) -> Hmac<Sha256> {
        let key = self.signing_key(purpose);
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret()).expect("HMAC takes a key of any length");
        for field in fields {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_its_fields_purpose_and_key_alone() {
        let master = MasterKey::generate();
        let fields: [&[u8]; 2] = [b"one", b"two"];
        let signature = master.sign("a", fields);
        assert!(master.is_signed("a", fields, &signature));
        assert!(!master.is_signed("b", fields, &signature));
        assert!(!MasterKey::generate().is_signed("a", fields, &signature));
        let others: [&[&[u8]]; 5] =
            [&[b"onet", b"wo"], &[b"two", b"one"], &[b"one"], &[b"onetwo"], &[b"one", b"two", b""]];
        for other in others {
            assert!(!master.is_signed("a", other.iter().copied(), &signature), "{other:?}");
        }
        for index in 0..signature.len() {
            let mut changed = signature;
            changed[index] ^= 1;
            assert!(!master.is_signed("a", fields, &changed), "byte {index}");
        }
        assert!(!master.is_signed("a", fields, &signature[..16]) && !master.is_signed("a", fields, b""));
    }
}
