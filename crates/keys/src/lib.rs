//! API keys, the master key and everything derived from it.
//!
//! Secrets live in types that can't be printed; only keyed hashes leave for a database.

mod api_key;
mod base62;
mod master;
mod seal;
mod signature;
mod webhook;

pub use api_key::{ApiKeyHash, KeyKind, MalformedKey, Pepper, PlainApiKey};
pub use master::{InvalidMasterKey, MasterKey, scram_verifier, scram_verifier_of_derived};
pub use seal::Unopenable;
pub use webhook::{InvalidWebhookSecret, WebhookSecret};
