//! Who calls: from the key in the `Authorization` header to a caller that may be served, and what its scopes allow.
//!
//! [`authenticate`] is wrapped around every route; a handler then takes one of the guards, whose construction checks
//! the scope. A guard is the only way to a tenant connection, and it leads to the key's own tenant.
//!
//! Keys are remembered ([`KeyCache`]); notices of `saas_platform` say what of it is no longer so.

mod cache;
mod caller;
mod guards;
mod known;
mod look_ups;
mod middleware;
mod notices;
mod outage;
mod refusal;
mod snapshot;
mod store;
mod wrong_keys;

use std::ops::RangeInclusive;

pub use cache::KeyCache;
pub use caller::Caller;
pub use guards::{Reader, UsageReader, WorkspaceManager, Writer};
pub use middleware::{authenticate, authenticate_link, authenticate_transfer};
pub(crate) use middleware::{key_of, vouched};
pub use refusal::RefusalAudit;
pub use wrong_keys::WrongKeys;
pub(crate) use wrong_keys::network;

/// The tenant schema versions that this build can work with: its own, and the next one, which older builds must survive.
pub const SERVED_SCHEMAS: RangeInclusive<i32> = 8..=9;
