//! Who calls: from the key in the `Authorization` header to a caller that may be served, and what its scopes allow.
//!
//! [`authenticate`] is wrapped around every route; a handler then takes one of the guards, whose construction checks
//! the scope. A guard is the only way to a tenant connection, and it leads to the key's own tenant.

mod caller;
mod guards;
mod middleware;
mod refusal;
mod store;
mod touched;

pub use caller::Caller;
pub use guards::{Reader, UsageReader, WorkspaceManager, Writer};
pub use middleware::{authenticate, authenticate_transfer};
pub use refusal::RefusalAudit;
pub use store::SERVED_SCHEMAS;
pub use touched::TouchedKeys;
