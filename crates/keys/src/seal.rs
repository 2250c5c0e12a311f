//! Secrets that must be stored, sealed under the master key.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): its nonce is long enough to be random. The form is a version byte, the
//! nonce, and the ciphertext with its tag. What a secret is for and whose it is are authenticated with it, so that one
//! row's can't be put into another.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretString};

use crate::master::MasterKey;

/// How secrets are sealed now.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// What was sealed under another key, for another use or for another owner, or was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret does not open: it was sealed under another master key, or it was changed")]
pub struct Unopenable;

impl MasterKey {
    /// Seals a secret for a purpose and an owner.
    ///
    /// # Panics
    /// Where the operating system gives no random bytes.
    pub fn seal(&self, purpose: &str, owner: &[u8], secret: &SecretString) -> Vec<u8> {
        let mut nonce = [0u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
        let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: owner };
        let sealed = self.cipher(purpose).encrypt(XNonce::from_slice(&nonce), payload);
        let sealed = sealed.expect("a secret is shorter than what the cipher can take");
        [&[VERSION][..], &nonce, &sealed].concat()
    }

    /// Opens what [`seal`](Self::seal) made for the same purpose and owner.
    ///
    /// # Errors
    /// Where it is anything else.
    pub fn open(&self, purpose: &str, owner: &[u8], sealed: &[u8]) -> Result<SecretString, Unopenable> {
        let (version, rest) = sealed.split_first().ok_or(Unopenable)?;
        if *version != VERSION || rest.len() < NONCE_BYTES {
            return Err(Unopenable);
        }
        let (nonce, ciphertext) = rest.split_at(NONCE_BYTES);
        let payload = Payload { msg: ciphertext, aad: owner };
        let opened = self.cipher(purpose).decrypt(XNonce::from_slice(nonce), payload).map_err(|_| Unopenable)?;
        String::from_utf8(opened).map(SecretString::from).map_err(|_| Unopenable)
    }

    fn cipher(&self, purpose: &str) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.sealing_key(purpose).expose_secret().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_for_its_purpose_and_its_owner_and_unchanged() {
        let master = MasterKey::generate();
        let secret = SecretString::from("correct horse");
        let sealed = master.seal("a", b"owner", &secret);
        assert!(!sealed.windows(7).any(|bytes| bytes == b"correct"));
        assert_eq!(master.open("a", b"owner", &sealed).unwrap().expose_secret(), "correct horse");
        assert_ne!(sealed, master.seal("a", b"owner", &secret), "no nonce twice");
        assert!(master.open("b", b"owner", &sealed).is_err());
        assert!(master.open("a", b"other", &sealed).is_err());
        assert!(MasterKey::generate().open("a", b"owner", &sealed).is_err());
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(master.open("a", b"owner", &changed).is_err(), "byte {index}");
        }
        assert!(master.open("a", b"owner", &[]).is_err());
    }
}
