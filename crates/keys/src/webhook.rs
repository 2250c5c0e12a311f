//! Signatures of what is sent to others, as Standard Webhooks has them (<https://www.standardwebhooks.com>).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::Sha256;

/// Fewer would be guessed; the specification says so too.
const FEWEST_BYTES: usize = 24;

/// What both sides know.
pub struct WebhookSecret(SecretBox<Vec<u8>>);

/// A text that is no secret for webhooks. Says nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `whsec_` and at least 24 random bytes in base64 (`echo whsec_$(openssl rand -base64 32)` makes one)")]
pub struct InvalidWebhookSecret;

impl WebhookSecret {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// Where it is not of that form, or too short to be safe.
    pub fn parse(text: &SecretString) -> Result<Self, InvalidWebhookSecret> {
        let encoded = text.expose_secret().strip_prefix("whsec_").ok_or(InvalidWebhookSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidWebhookSecret)?;
        if bytes.len() < FEWEST_BYTES {
            return Err(InvalidWebhookSecret);
        }
        Ok(Self(SecretBox::new(Box::new(bytes))))
    }

    /// The header `webhook-signature` of a message, sent at a time in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_specification() {
        let secret = WebhookSecret::parse(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).expect("a secret");
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused_without_repeating_it() {
        for text in
            ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64 at all, I fear"]
        {
            let refused = WebhookSecret::parse(&text.into()).err().expect("refused");
            assert!(text.len() < 8 || !refused.to_string().contains(text), "{refused}");
        }
    }
}
